import type { Ending } from '../grpc/call.ts';
import type { ProcessingRequest, ProcessingResponse } from '../grpc/messages.ts';
import { type Answer, echoOf } from './answer.ts';
import type { ProcessCall } from './process-call.ts';
import { bodyMessages, type HttpRequest, headersMessage, trailersMessage } from './request.ts';

/** Hears until `isDone`, the end of the stream, or silence for the whole time that one answer is given. */
export async function hear(
  call: ProcessCall,
  isDone: (replies: readonly ProcessingResponse[]) => boolean,
  timeoutMs: number,
  before: readonly ProcessingResponse[] = [],
): Promise<Answer> {
  const replies = [...before];
  let ending: Ending | undefined;
  let isSilent = false;
  while (ending === undefined && !isSilent && !isImmediate(replies.at(-1)) && !isDone(replies)) {
    const heard = await call.next(timeoutMs);
    if (heard.kind === 'response') replies.push(heard.response);
    else if (heard.kind === 'over') ending = heard.ending;
    else isSilent = true;
  }
  return { replies, ending, isSilent };
}

/** What more comes within a short time, where nothing is owed. */
export async function hearMore(call: ProcessCall, answer: Answer, quietMs: number): Promise<Answer> {
  const more = await hear(call, () => false, quietMs, answer.replies);
  return { ...more, ending: more.ending ?? answer.ending, isSilent: false };
}

/** The request phase in FULL_DUPLEX_STREAMED: all is sent as it comes, nothing waits for an answer. */
export async function askDuplex(call: ProcessCall, request: HttpRequest, timeoutMs: number): Promise<Answer> {
  call.send(headersMessage(request, 'duplex'));
  for (const message of bodyMessages(request)) call.send(message);
  const trailers = trailersMessage(request);
  if (trailers !== undefined) call.send(trailers);
  return hear(call, requestIsAnswered(request), timeoutMs);
}

/** The request phase in BUFFERED: the body follows the answer to the headers, in one message. */
export async function askBuffered(
  call: ProcessCall,
  request: HttpRequest,
  timeoutMs: number,
): Promise<{ readonly toHeaders: Answer; readonly whole: Answer }> {
  call.send(headersMessage(request, 'buffered'));
  const toHeaders = await hear(call, has('request_headers'), timeoutMs);
  const goesOn = toHeaders.replies.at(-1)?.response === 'request_headers';
  if (!goesOn || request.body === undefined) return { toHeaders, whole: toHeaders };
  const [body] = bodyMessages({ ...request, pieces: [Math.max(1, request.body.length)] });
  call.send(body ?? {});
  return { toHeaders, whole: await hear(call, has('request_body'), timeoutMs, toHeaders.replies) };
}

export function requestIsAnswered(request: HttpRequest): (replies: readonly ProcessingResponse[]) => boolean {
  return phaseIsAnswered('request', request.body !== undefined, request.trailers !== undefined);
}

/** In duplex mode: the headers, then the body's last piece, then the trailers where there are any. */
export function phaseIsAnswered(
  phase: 'request' | 'response',
  hasBody: boolean,
  hasTrailers: boolean,
): (replies: readonly ProcessingResponse[]) => boolean {
  return (replies) => {
    if (hasTrailers) return replies.at(-1)?.response === `${phase}_trailers`;
    if (!hasBody) return replies.at(-1)?.response === `${phase}_headers`;
    if (!replies.some((reply) => reply.response === `${phase}_headers`)) return false;
    const last = replies.slice(-1);
    return echoOf({ replies: last, ending: undefined, isSilent: false }, `${phase}_body`).pieces.some(
      (piece) => piece.isEnd,
    );
  };
}

export function has(
  kind: ProcessingResponse['response'],
): (replies: readonly ProcessingResponse[]) => boolean {
  return (replies) => replies.some((reply) => reply.response === kind);
}

/** Sends without hearing: for cases that hang up in between. */
export function tell(call: ProcessCall, messages: readonly ProcessingRequest[]): void {
  for (const message of messages) call.send(message);
}

function isImmediate(reply: ProcessingResponse | undefined): boolean {
  return reply?.response === 'immediate_response';
}
