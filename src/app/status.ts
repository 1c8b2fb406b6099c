import type { ErrorCode } from '../request/errors.ts';
import type { ApiFamily } from '../request/types.ts';

/** HTTP status of every refusal; `ollama`: on /api, where Ollama says it so. A new code does not compile until it is mapped. */
export const STATUS = {
  invalid_json: { http: 400 },
  ambiguous_model: { http: 400 },
  model_required: { http: 400 },
  invalid_model_name: { http: 400 },
  missing_body: { http: 400 },
  body_too_large: { http: 413 },
  unsupported_encoding: { http: 415 },
  not_allowed: { http: 403 },
  not_privileged: { http: 403 },
  not_capable: { http: 400 },
  rate_limited: { http: 429 },
  model_not_found: { http: 404 },
  no_node: { http: 503 },
  query_of_death: { http: 502 },
  line_full: { http: 429, ollama: 503 },
  no_slot_in_time: { http: 429, ollama: 503 },
  // Not the client's rate: it need not slow down, only come again.
  shutting_down: { http: 503 },
  internal: { http: 500 },
} as const satisfies Record<ErrorCode, ErrorStatus>;

interface ErrorStatus {
  readonly http: number;
  readonly ollama?: number;
}

export function httpStatus(code: ErrorCode, family: ApiFamily): number {
  const status: ErrorStatus = STATUS[code];
  return family === 'ollama' ? (status.ollama ?? status.http) : status.http;
}
