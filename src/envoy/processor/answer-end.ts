import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { readAnswerHead } from './answer-head.ts';

/** No model writes an answer in less, ms: where a stream is over by then, the filter ended it and not the answer. */
const SHORTEST_MS = 20;

/** Tells whether a stream lasted as long as the answer that it is about. */
export class AnswerEnd {
  #headersAt: number | undefined;
  #isStreamed = false;
  #hasEnded = false;

  get hasHeaders(): boolean {
    return this.#headersAt !== undefined;
  }

  see(message: ProcessingRequest, now: number): void {
    const { response_headers, response_body } = message;
    if (response_headers) {
      const { status, kind } = readAnswerHead(message);
      this.#headersAt = now;
      this.#isStreamed = status === 200 && (kind === 'lines' || kind === 'events');
    }
    if ((response_headers ?? response_body)?.end_of_stream === true || message.response_trailers)
      this.#hasEnded = true;
  }

  /** The stream ends. Undefined: nothing can be told from this one. */
  cameAt(now: number): boolean | undefined {
    if (this.#headersAt === undefined || !this.#isStreamed) return undefined;
    return this.#hasEnded || now - this.#headersAt >= SHORTEST_MS;
  }
}
