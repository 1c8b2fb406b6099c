import { expect, it } from 'vitest';
import { ProcessingMode_BodySendMode as BodyMode } from '../../../../src/envoy/gen/envoy/extensions/filters/http/ext_proc/v3/processing_mode.ts';
import { toldMode } from '../../../../src/envoy/processor/told-mode.ts';

it.each([
  [{}, 'unknown'],
  [{ protocol_config: {} }, 'none'],
  [{ protocol_config: { request_body_mode: BodyMode.STREAMED } }, 'streamed'],
  [{ protocol_config: { request_body_mode: BodyMode.BUFFERED } }, 'buffered'],
  [{ protocol_config: { request_body_mode: BodyMode.BUFFERED_PARTIAL } }, 'buffered_partial'],
  [{ protocol_config: { request_body_mode: BodyMode.FULL_DUPLEX_STREAMED } }, 'full_duplex_streamed'],
  [{ protocol_config: { request_body_mode: BodyMode.GRPC } }, 'unknown'],
])('a stream that begins with %j is one of the mode %s', (message, mode) => {
  expect(toldMode(message)).toBe(mode);
});
