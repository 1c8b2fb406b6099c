import { ProcessingMode_BodySendMode as BodyMode } from '../gen/envoy/extensions/filters/http/ext_proc/v3/processing_mode.ts';
import type { HttpBody, ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import type { AnswerWatch } from './answer-watch.ts';
import { bodyEcho } from './body-echo.ts';
import { CONTINUE } from './replies.ts';
import type { ProcessCall } from './request-stream.ts';
import { STEPS, type Step } from './state.ts';

const EMPTY = new Uint8Array(0);

/** Lets a step of the answer go on as it came, at once, and shows it to who follows the answer. */
export function passAnswer(
  call: ProcessCall,
  step: Step,
  message: ProcessingRequest,
  mode: BodyMode,
  watch: AnswerWatch | undefined,
): void {
  const piece = message.response_body;
  if (step === 'response_body' && piece && mode === BodyMode.FULL_DUPLEX_STREAMED)
    for (const part of bodyEcho(step, piece.body ?? EMPTY, piece.end_of_stream === true)) call.send(part);
  else call.send(CONTINUE[step]);
  if (watch === undefined) return;
  // After it went on: the client waits for it, the figures need not.
  if (step === 'response_headers') watch.headers(message);
  else if (step === 'response_body') showBody(watch, piece ?? {});
  else watch.trailers();
}

function showBody(watch: AnswerWatch, { body = EMPTY, end_of_stream }: HttpBody): void {
  watch.body(body, end_of_stream === true);
}

/** The order of an answer's steps: headers, body, trailers, and nothing after its end. */
export class AnswerOrder {
  #reached = -1;
  #isEnded = false;

  /** `too_late`: after the end, to be ignored; some Envoys tell it twice. */
  next(step: Step, message: ProcessingRequest): 'in_order' | 'too_late' | 'out_of_order' {
    if (this.#isEnded) return 'too_late';
    const place = STEPS.indexOf(step);
    const isMore = step === 'response_body' && place === this.#reached;
    if (place <= this.#reached && !isMore) return 'out_of_order';
    this.#reached = place;
    this.#isEnded =
      step === 'response_trailers' ||
      message.response_headers?.end_of_stream === true ||
      message.response_body?.end_of_stream === true;
    return 'in_order';
  }
}
