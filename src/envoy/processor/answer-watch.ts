import type { RouteDecision } from '../../app/types.ts';
import type {
  ProcessingRequest,
  ProcessingResponse,
} from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import type { StreamModes } from './modes.ts';
import type { RequestHead } from './request-head.ts';

/**
 * Follows the answer to one request where no access log tells us of it, and in the end reports what became of the request, once.
 * Never throws; what it is given is untrusted.
 */
export interface AnswerWatch {
  /** It was decided where it goes. Not called for what is refused, answered by us, or passes without a decision. */
  routed(decision: RouteDecision): void;
  /** The answer's headers, with the metadata and attributes beside them. */
  headers(message: ProcessingRequest): void;
  /** A piece of the answer's body, read and not kept. */
  body(bytes: Uint8Array, isLast: boolean): void;
  trailers(): void;
  /** We answered the client by ourselves: with an immediate response, which ends the stream. */
  replied(response: ProcessingResponse): void;
  /** The stream is over, for whatever reason; the request's lease has ended. Idempotent. */
  over(): void;
}

/** Begins to follow, as soon as a request's head has come. Undefined: the access log does. `modes`: what the filter sends of bodies. */
export type WatchAnswer = (head: RequestHead, modes: StreamModes) => AnswerWatch | undefined;
