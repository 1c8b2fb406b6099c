import { z } from 'zod';
import type { Io } from './io.ts';

const TIMEOUT_MS = 5000;
const refusal = z.object({ error: z.string() });

/** Nothing answers, or what answers is no Warmpath. */
export class AdminUnreachable extends Error {
  constructor(url: string, why: string) {
    super(
      `no Warmpath answers at ${url} (${why})\n` +
        '  Is it running? Start it with: npm run up -- --node http://HOST:11434\n' +
        '  Elsewhere? Name its admin address: --admin HOST:PORT or WARMPATH_ADMIN',
    );
    this.name = 'AdminUnreachable';
  }
}

/** Warmpath answered and refused. */
export class AdminRefused extends Error {}

/** Reads from the admin server of a running Warmpath; `url` ends without a slash. */
export async function readAdmin<T>(io: Io, url: string, path: string, schema: z.ZodType<T>): Promise<T> {
  return ask(io, url, path, {}, schema);
}

export interface AdminChange {
  readonly method: 'POST' | 'DELETE';
  readonly path: string;
  readonly body: object | undefined;
  readonly token: string | undefined;
}

/** Asks the admin server to change something. Throws AdminRefused with its reason where it does not. */
export async function changeAdmin<T>(
  io: Io,
  url: string,
  { method, path, body, token }: AdminChange,
  schema: z.ZodType<T>,
): Promise<T> {
  const headers: Record<string, string> = { 'x-warmpath-admin': '1' };
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  if (body === undefined) return ask(io, url, path, { method, headers }, schema);
  headers['content-type'] = 'application/json';
  return ask(io, url, path, { method, headers, body: JSON.stringify(body) }, schema);
}

async function ask<T>(
  io: Io,
  url: string,
  path: string,
  request: RequestInit,
  schema: z.ZodType<T>,
): Promise<T> {
  let response: Response;
  let body: unknown;
  try {
    response = await io.fetch(`${url}${path}`, {
      ...request,
      redirect: 'error',
      signal: AbortSignal.any([io.signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    body = await response.json();
  } catch (error) {
    throw new AdminUnreachable(url, reasonOf(error));
  }
  if (!response.ok) {
    const refused = refusal.safeParse(body);
    throw new AdminRefused(refused.success ? refused.data.error : `answered ${response.status}`);
  }
  const parsed = schema.safeParse(body);
  if (!parsed.success) throw new AdminUnreachable(url, 'its answer is not that of this version of Warmpath');
  return parsed.data;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'it failed';
  if (error.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`;
  if (error instanceof SyntaxError) return 'what answers there is no Warmpath';
  const cause = error.cause;
  if (cause instanceof Error && 'code' in cause) {
    return cause.code === 'ECONNREFUSED' ? 'connection refused' : String(cause.code);
  }
  return error.message;
}
