import { ProcessingMode_BodySendMode as BodyMode } from '../gen/envoy/extensions/filters/http/ext_proc/v3/processing_mode.ts';
import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';

/** How a filter that calls us is configured: what it sends of bodies, and how. */
export interface StreamModes {
  readonly request: BodyMode;
  readonly response: BodyMode;
  /** Pieces of bodies come before the headers were answered (STREAMED only). */
  readonly isEager: boolean;
}

/** Our own Envoy's, which waits to be asked. */
export const MODES_UNTOLD: StreamModes = { request: BodyMode.NONE, response: BodyMode.NONE, isEager: false };

/** As the stream's first message tells; undefined where the proxy is too old to tell, or no Envoy. */
export function modesOf({ protocol_config }: ProcessingRequest): StreamModes | undefined {
  if (protocol_config === undefined || protocol_config === null) return undefined;
  return {
    request: protocol_config.request_body_mode ?? BodyMode.NONE,
    response: protocol_config.response_body_mode ?? BodyMode.NONE,
    isEager: protocol_config.send_body_without_waiting_for_header_response === true,
  };
}

/** Both ways, as gateways with an InferencePool have it. */
export const MODES_DUPLEX: StreamModes = {
  request: BodyMode.FULL_DUPLEX_STREAMED,
  response: BodyMode.FULL_DUPLEX_STREAMED,
  isEager: false,
};

/** Bodies in this mode reach the other side when they are whole, or as much as the proxy keeps: nothing streams. */
export function holdsBack(mode: BodyMode): boolean {
  return mode === BodyMode.BUFFERED || mode === BodyMode.BUFFERED_PARTIAL;
}
