import { isIP } from 'node:net';
import * as z from 'zod';
import { shown } from './shown.ts';

/** An address that we listen on. */
export interface HostPort {
  /** IP literal, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Parses "0.0.0.0:11434", "[::]:11434", ":11434" (all interfaces) and "localhost:0" (a free port). */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]]*):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const port = Number(match[2]);
  const host = (match[1] ?? '').replace(/^\[|\]$/g, '');
  if (port > 65_535) return undefined;
  if (host === '') return { host: '0.0.0.0', port };
  if (host === 'localhost') return { host: '127.0.0.1', port };
  const isBracketed = match[1]?.startsWith('[') === true;
  return isIP(host) === (isBracketed ? 6 : 4) ? { host, port } : undefined;
}

/** `host:port` with brackets where IPv6 needs them. */
/** An address to listen on in the configuration. */
export const hostPort = z.unknown().transform((value, context): HostPort => {
  const parsed = typeof value === 'string' ? parseHostPort(value) : undefined;
  if (parsed !== undefined) return parsed;
  const message = `expected HOST:PORT with an IP address, such as "0.0.0.0:11434" or "[::1]:9411", got ${shown(value)}`;
  context.issues.push({ code: 'custom', message, input: value });
  return z.NEVER;
});

/** Where the gRPC server listens. */
export type GrpcAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** The kernel's bound on a Unix socket's path, less the closing NUL. */
export const MAX_SOCKET_PATH_BYTES = 107;

const DNS_NAME =
  /^(?=.{1,253}:)((?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?):(\d{1,5})$/;

/** Where another control plane listens: as `grpcAddress`, or NAME:PORT, which stands for every address of the name. */
export const replicaAddress = z.unknown().transform((value, context): GrpcAddress => {
  const [, host, port] = (typeof value === 'string' ? DNS_NAME.exec(value) : undefined) ?? [];
  if (host !== undefined && host !== 'localhost' && Number(port) <= 65_535)
    return { kind: 'tcp', host, port: Number(port) };
  const parsed = grpcAddress.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const message = (issue?.message ?? '').replace(' or HOST:PORT', ', HOST:PORT or NAME:PORT');
  context.issues.push({ code: 'custom', message, input: value });
  return z.NEVER;
});

/** Whether Envoy must ask a name server for it. */
export function isNamed(address: GrpcAddress): boolean {
  return address.kind === 'tcp' && isIP(address.host) === 0;
}

/** "unix:/run/warmpath/grpc.sock" or HOST:PORT in the configuration. */
export const grpcAddress = z.unknown().transform((value, context): GrpcAddress => {
  const text = typeof value === 'string' ? value : '';
  const path = /^unix:(\/.*)$/.exec(text)?.[1];
  const tcp = parseHostPort(text);
  if (path !== undefined && Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return { kind: 'unix', path };
  if (tcp !== undefined) return { kind: 'tcp', ...tcp };
  const message =
    path === undefined
      ? `expected "unix:/absolute/path.sock" or HOST:PORT, got ${shown(value)}`
      : `a Unix socket's path may have ${MAX_SOCKET_PATH_BYTES} bytes at most, this one has ${Buffer.byteLength(path)}`;
  context.issues.push({ code: 'custom', message, input: value });
  return z.NEVER;
});
