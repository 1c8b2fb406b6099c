/** Stable machine codes: they appear in replies, metrics and logs, so they are API. */
export type ErrorCode =
  | 'invalid_json'
  | 'ambiguous_model'
  | 'model_required'
  | 'invalid_model_name'
  | 'missing_body'
  | 'body_too_large'
  | 'unsupported_encoding'
  | 'not_allowed'
  | 'not_privileged'
  | 'not_capable'
  | 'rate_limited'
  | 'model_not_found'
  | 'no_node'
  | 'query_of_death'
  /** The waiting line has no place left. */
  | 'line_full'
  /** No slot came, or will come, within the time that the request may wait. */
  | 'no_slot_in_time'
  /** This server was told to stop, and ends before a slot comes. */
  | 'shutting_down'
  | 'internal';

/** A refusal that the client is told of. `message` is shown to the client: no addresses, no causes, no long echoes. */
export class RouterError extends Error {
  readonly code: ErrorCode;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; retryAfterSeconds?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RouterError';
    this.code = code;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}
