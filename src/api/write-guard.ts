import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** No page of another site can send it without asking first, and nobody answers such a question. */
export const ADMIN_HEADER = 'x-warmpath-admin';

export interface WriteGuardOptions {
  /** Whether others than this machine reach the admin interface. */
  readonly isExposed: boolean;
  /** Undefined: none is set. Asked at each request: it may change. */
  readonly token: () => string | undefined;
}

export interface Refusal {
  readonly status: 401 | 403 | 415;
  readonly message: string;
}

/** Why a change must not be made for whoever sends these headers; undefined: it may. */
export function writeRefusal(
  method: string,
  headers: IncomingHttpHeaders,
  { isExposed, token }: WriteGuardOptions,
): Refusal | undefined {
  if (headers.origin !== undefined || (headers['sec-fetch-site'] ?? 'none') !== 'none') {
    return { status: 403, message: 'browsers may not change anything here; use warmpath nodes' };
  }
  if (headers[ADMIN_HEADER] !== '1') {
    return { status: 403, message: `a change needs the header ${ADMIN_HEADER}: 1` };
  }
  const expected = token();
  if (expected === undefined && isExposed) {
    return {
      status: 403,
      message:
        'the admin interface is open to other machines, so changes need a token: set "adminToken" or ' +
        'WARMPATH_ADMIN_TOKEN for Warmpath and for the command, or bind "admin" to 127.0.0.1',
    };
  }
  if (expected !== undefined && !isSame(expected, bearerOf(headers.authorization))) {
    return {
      status: 401,
      message: 'changes need the admin token: set WARMPATH_ADMIN_TOKEN to the same as for Warmpath itself',
    };
  }
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (method === 'POST' && type !== 'application/json') {
    return { status: 415, message: 'expected content-type: application/json' };
  }
  return undefined;
}

function bearerOf(header: string | undefined): string {
  return /^Bearer ([\x21-\x7e]{1,4096})$/i.exec(header ?? '')?.[1] ?? '';
}

/** In a time that tells nothing of where they differ. */
function isSame(expected: string, given: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(expected), digest(given));
}
