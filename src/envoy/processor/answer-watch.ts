import type { RouteDecision } from '../../app/types.ts';
import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import type { RequestHead } from './request-head.ts';

/**
 * Follows the answer to one routed request where no access log tells us of it, and in the end reports what became of the request, once.
 * Never throws; what it is given is untrusted.
 */
export interface AnswerWatch {
  /** The answer's headers, with the metadata and attributes beside them. */
  headers(message: ProcessingRequest): void;
  /** A piece of the answer's body, read and not kept. */
  body(bytes: Uint8Array, isLast: boolean): void;
  trailers(): void;
  /** The stream is over, for whatever reason. Idempotent. */
  over(): void;
}

/** Begins to follow. Undefined: the access log does. */
export type WatchAnswer = (decision: RouteDecision, head: RequestHead) => AnswerWatch | undefined;
