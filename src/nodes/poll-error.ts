import { errors } from 'undici';
import type { FailureReason } from '../fleet/types.ts';

/** Why a node's answer could not be had. `detail` is short, without addresses and without the node's own words. */
export class PollError extends Error {
  readonly reason: FailureReason;
  readonly detail: string;

  constructor(reason: FailureReason, detail: string, cause?: unknown) {
    super(`${reason}: ${detail}`, cause === undefined ? undefined : { cause });
    this.name = 'PollError';
    this.reason = reason;
    this.detail = detail;
  }
}

const BY_CODE: Readonly<Record<string, readonly [FailureReason, string]>> = {
  ECONNREFUSED: ['refused', 'connection refused'],
  EHOSTUNREACH: ['refused', 'host unreachable'],
  ENETUNREACH: ['refused', 'network unreachable'],
  EHOSTDOWN: ['refused', 'host down'],
  EADDRNOTAVAIL: ['refused', 'address not available'],
  EACCES: ['refused', 'not permitted'],
  EPERM: ['refused', 'not permitted'],
  EMFILE: ['refused', 'too many open files here'],
  ENFILE: ['refused', 'too many open files here'],
  UND_ERR_CONNECT_TIMEOUT: ['connect_timeout', 'no connection in time'],
  ETIMEDOUT: ['connect_timeout', 'no connection in time'],
  UND_ERR_HEADERS_TIMEOUT: ['timeout', 'no answer in time'],
  UND_ERR_BODY_TIMEOUT: ['timeout', 'answer stopped'],
  ECONNRESET: ['reset', 'connection reset'],
  EPIPE: ['reset', 'connection closed'],
  UND_ERR_SOCKET: ['reset', 'connection closed'],
  UND_ERR_HEADERS_OVERFLOW: ['bad_answer', 'headers too large'],
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: ['truncated', 'answer shorter than announced'],
  ENOTFOUND: ['dns', 'name not found'],
  EAI_AGAIN: ['dns', 'name service not available'],
  ENODATA: ['dns', 'name has no address'],
  ESERVFAIL: ['dns', 'name service failed'],
};

/** The reason in the words of the fleet, from what the HTTP client, TLS or the kernel reports. */
export function pollErrorFrom(error: unknown): PollError {
  if (error instanceof PollError) return error;
  const code = codeOf(error) ?? codeOf(causeOf(error)) ?? '';
  const known = BY_CODE[code];
  if (known !== undefined) return new PollError(known[0], known[1], error);
  if (error instanceof errors.HTTPParserError || code.startsWith('HPE_')) {
    return new PollError('bad_answer', 'malformed HTTP', error);
  }
  if (
    /^(?:ERR_TLS|ERR_SSL|ERR_OSSL|EPROTO|CERT_|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|INVALID_CA|HOSTNAME_MISMATCH)/.test(
      code,
    )
  ) {
    return new PollError('tls', code.slice(0, 60).toLowerCase().replaceAll('_', ' '), error);
  }
  return new PollError('reset', code === '' ? 'failed' : code.slice(0, 60), error);
}

function codeOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}
