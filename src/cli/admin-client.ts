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
  let response: Response;
  let body: unknown;
  try {
    response = await io.fetch(`${url}${path}`, {
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
