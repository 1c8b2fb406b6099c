import type { RouterError } from '../request/errors.ts';
import type { ApiFamily } from '../request/types.ts';
import { anthropicErrorType, openAiErrorType } from './error-types.ts';
import { httpStatus } from './status.ts';

/** A whole answer that is not streamed. */
export interface Reply {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Sent with 429 and 503 where nobody knows better. */
const DEFAULT_RETRY_AFTER_SECONDS = 1;

/**
 * The refusal in the shape of the API that was called; `requestId` is shown where that shape has a place for it,
 * `decisionId` is what `warmpath explain --decision` knows it by.
 */
export function errorReply(
  error: RouterError,
  family: ApiFamily,
  { requestId = '', decisionId }: { requestId?: string | undefined; decisionId?: string | undefined } = {},
): Reply {
  const status = httpStatus(error.code, family);
  const headers: Record<string, string> = {
    'content-type': 'application/json; charset=utf-8',
    'x-warmpath-error': error.code,
  };
  if (decisionId !== undefined) headers['x-warmpath-decision'] = decisionId;
  if (status === 429 || status === 503)
    headers['retry-after'] = String(
      Math.max(1, Math.ceil(error.retryAfterSeconds ?? DEFAULT_RETRY_AFTER_SECONDS)),
    );
  return { status, headers, body: JSON.stringify(SHAPES[family](error, status, requestId)) };
}

const SHAPES: Record<ApiFamily, (error: RouterError, status: number, requestId: string) => object> = {
  ollama: (error) => ({ error: error.message }),
  openai: (error, status) => ({
    error: { message: error.message, type: openAiErrorType(status), param: null, code: error.code },
  }),
  anthropic: (error, status, requestId) => ({
    type: 'error',
    error: { type: anthropicErrorType(status), message: error.message },
    request_id: `req_${requestId}`,
  }),
};
