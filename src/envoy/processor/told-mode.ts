import type { StreamMode } from '../../app/ext-proc-report.ts';
import { ProcessingMode_BodySendMode as BodyMode } from '../gen/envoy/extensions/filters/http/ext_proc/v3/processing_mode.ts';
import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';

const NAMES: ReadonlyMap<number, StreamMode> = new Map([
  [BodyMode.NONE, 'none'],
  [BodyMode.STREAMED, 'streamed'],
  [BodyMode.BUFFERED, 'buffered'],
  [BodyMode.BUFFERED_PARTIAL, 'buffered_partial'],
  [BodyMode.FULL_DUPLEX_STREAMED, 'full_duplex_streamed'],
]);

/** How the proxy says that it sends request bodies, in the first message of a stream. */
export function toldMode({ protocol_config }: ProcessingRequest): StreamMode {
  if (protocol_config === undefined || protocol_config === null) return 'unknown';
  return NAMES.get(protocol_config.request_body_mode ?? BodyMode.NONE) ?? 'unknown';
}
