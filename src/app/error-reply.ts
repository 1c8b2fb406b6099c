import type { RouterError } from '../request/errors.ts';
import type { ApiFamily } from '../request/types.ts';
import { STATUS } from './status.ts';

/** A whole answer that is not streamed. */
export interface Reply {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Sent with 429 and 503 where nobody knows better. */
const DEFAULT_RETRY_AFTER_SECONDS = 1;

/** The refusal in the shape of the API that was called; `requestId` is shown where that shape has a place for it. */
export function errorReply(error: RouterError, family: ApiFamily, requestId = ''): Reply {
  const status: number = STATUS[error.code].http;
  const headers: Record<string, string> = {
    'content-type': 'application/json; charset=utf-8',
    'x-warmpath-error': error.code,
  };
  if (status === 429 || status === 503)
    headers['retry-after'] = String(
      Math.max(1, Math.ceil(error.retryAfterSeconds ?? DEFAULT_RETRY_AFTER_SECONDS)),
    );
  return { status, headers, body: JSON.stringify(SHAPES[family](error, status, requestId)) };
}

const SHAPES: Record<ApiFamily, (error: RouterError, status: number, requestId: string) => object> = {
  ollama: (error) => ({ error: error.message }),
  openai: (error, status) => ({
    error: { message: error.message, type: openAiType(status), param: null, code: error.code },
  }),
  anthropic: (error, status, requestId) => ({
    type: 'error',
    error: { type: anthropicType(status), message: error.message },
    request_id: `req_${requestId}`,
  }),
};

/** Ollama's own mapping, so that clients' typed errors stay what they were. */
function openAiType(status: number): string {
  if (status === 400) return 'invalid_request_error';
  return status === 404 ? 'not_found_error' : 'api_error';
}

function anthropicType(status: number): string {
  switch (status) {
    case 400:
      return 'invalid_request_error';
    case 401:
      return 'authentication_error';
    case 403:
      return 'permission_error';
    case 404:
      return 'not_found_error';
    case 413:
      return 'request_too_large';
    case 429:
      return 'rate_limit_error';
    case 503:
    case 529:
      return 'overloaded_error';
    default:
      return 'api_error';
  }
}
