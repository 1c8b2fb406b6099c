import { createHash } from 'node:crypto';

/** How Ollama's own API and its compatibility layers label JSON. The latter end it with a newline. */
export const OLLAMA_JSON = 'application/json; charset=utf-8';
export const COMPATIBLE_JSON = 'application/json';

export type ErrorShape = 'ollama' | 'openai' | 'anthropic';

/** A refusal as the client shall see it. */
export class ReplyError extends Error {
  readonly status: number;
  /** Found while decoding the body: Ollama's compatibility layers write another Content-Type for those. */
  readonly isDecoding: boolean;

  constructor(status: number, message: string, { isDecoding = false }: { isDecoding?: boolean } = {}) {
    super(message);
    this.status = status;
    this.isDecoding = isDecoding;
  }
}

/**
 * A refusal in the shape of the API called. What the compatibility layers themselves refuse (`isDecoding`) looks as
 * Ollama's own errors do; what they translate has another type and a newline at the end.
 */
export function errorReply(
  shape: ErrorShape,
  status: number,
  message: string,
  { isDecoding = false }: { isDecoding?: boolean } = {},
): { readonly body: string; readonly contentType: string } {
  const body = errorObject(shape, status, message);
  if (shape === 'ollama' || isDecoding) return { body, contentType: OLLAMA_JSON };
  return { body: `${body}\n`, contentType: COMPATIBLE_JSON };
}

function errorObject(shape: ErrorShape, status: number, message: string): string {
  switch (shape) {
    case 'ollama':
      return JSON.stringify({ error: message });
    case 'openai':
      return JSON.stringify({ error: { message, type: openaiType(status), param: null, code: null } });
    case 'anthropic':
      return JSON.stringify({
        type: 'error',
        error: { type: anthropicType(status), message },
        request_id: `req_${createHash('sha256').update(`${message} ${performance.now()}`).digest('hex').slice(0, 24)}`,
      });
  }
}

function openaiType(status: number): string {
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
    case 429:
      return 'rate_limit_error';
    case 503:
    case 529:
      return 'overloaded_error';
    default:
      return 'api_error';
  }
}
