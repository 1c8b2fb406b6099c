import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import type { AnswerWatch } from './answer-watch.ts';

/** Shows a step of the answer to who follows it; steps of the request are none of its business. */
export function followAnswer(watch: AnswerWatch, message: ProcessingRequest): void {
  if (message.response_headers) watch.headers(message);
  else if (message.response_body)
    watch.body(message.response_body.body ?? EMPTY, message.response_body.end_of_stream === true);
  else if (message.response_trailers) watch.trailers();
}

const EMPTY = new Uint8Array(0);
