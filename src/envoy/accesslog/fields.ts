import { formatHostPort } from '../../app/host-port.ts';
import type { Address } from '../gen/envoy/config/core/v3/address.ts';

/** Readers of an entry's fields. Whoever reaches the log may write anything: lengths and numbers are bounded here. */

const MAX_MS = 1e10;
const MAX_COUNT = 1e15;

/** google.protobuf.Duration → ms; undefined for absent, negative and absurd ones. */
export function durationMs(
  duration: { readonly seconds?: number | undefined; readonly nanos?: number | undefined } | null | undefined,
): number | undefined {
  if (duration === undefined || duration === null) return undefined;
  const ms = (duration.seconds ?? 0) * 1000 + (duration.nanos ?? 0) / 1e6;
  return ms >= 0 && ms <= MAX_MS ? ms : undefined;
}

/** A count from 0 on; undefined for anything else. */
export function count(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 && value <= MAX_COUNT ? value : undefined;
}

/** At most `max` characters, control characters removed: it ends up in logs and terminals. */
export function text(value: unknown, max: number): string {
  if (typeof value !== 'string') return '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  return value.slice(0, max).replace(/[\u0000-\u001f\u007f-\u009f]/g, '');
}

/** `ip:port`, IPv6 in brackets; undefined where there is none. */
export function addressText(address: Address | null | undefined): string | undefined {
  const socket = address?.socket_address;
  if (socket === undefined || socket === null) return undefined;
  const host = text(socket.address, 64);
  const port = socket.port_value;
  if (host === '' || typeof port !== 'number' || port < 1 || port > 65_535) return undefined;
  return formatHostPort({ host, port });
}

/** A decision id as we make them; undefined for anything else, so that a forged one costs nothing. */
export function decisionId(
  headers: { readonly [key: string]: string } | undefined,
  name: string,
): string | undefined {
  const id = headers !== undefined && Object.hasOwn(headers, name) ? headers[name] : undefined;
  return id !== undefined && /^[\w.:-]{1,128}$/.test(id) ? id : undefined;
}
