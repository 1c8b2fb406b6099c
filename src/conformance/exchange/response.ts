import { demand, NotApplicable } from '../case.ts';
import type { ProcessingRequest, Struct } from '../grpc/messages.ts';
import { type Picker, pickedOf } from '../picker.ts';
import { type Answer, describe } from './answer.ts';
import { hear, phaseIsAnswered } from './drive.ts';
import type { ProcessCall } from './process-call.ts';
import { bodyPieces, type HttpRequest, headerList, NAMES } from './request.ts';

/** What an endpoint answered, as a proxy tells it. */
export interface HttpResponse {
  readonly status: number;
  readonly contentType: string;
  /** Undefined: none, the headers end the stream. */
  readonly body?: Buffer;
  readonly pieces?: readonly number[];
  readonly hasEmptyLastPiece?: boolean;
  readonly trailers?: Readonly<Record<string, string>>;
  /** The endpoint that it came from; undefined: the proxy does not tell. */
  readonly served?: string | undefined;
}

/** A stream whose request has been given its endpoints. */
export interface Routed {
  readonly call: ProcessCall;
  readonly endpoints: readonly string[];
}

/** Brings a stream to where the endpoint's answer comes. */
export async function route(picker: Picker, more: Partial<HttpRequest> = {}): Promise<Routed> {
  const { call, answer } = await picker.ask(picker.chat(more));
  const picked = pickedOf(answer);
  demand(picked.kind === 'picked', 'a destination for an ordinary request', describe(answer));
  return { call, endpoints: picked.endpoints };
}

/** Tells a whole response at once and hears all of the answer. */
export async function respond(picker: Picker, call: ProcessCall, response: HttpResponse): Promise<Answer> {
  for (const message of responseMessages(response)) call.send(message);
  const isDone = phaseIsAnswered('response', response.body !== undefined, response.trailers !== undefined);
  return unlessOver(await hear(call, isDone, picker.options.timeoutMs));
}

/** A picker may end the stream when the request has its endpoints; then it has no say in the response. */
export function unlessOver(answer: Answer): Answer {
  const { ending, replies } = answer;
  if (ending?.kind === 'status' && ending.code === 0 && replies.length === 0)
    throw new NotApplicable('the picker ends the stream, with status 0, before the response');
  return answer;
}

export function responseHeaders(response: HttpResponse): ProcessingRequest {
  const { status, contentType, body, trailers, served } = response;
  const lb: Struct = { fields: { [NAMES.served]: { stringValue: served ?? '' } } };
  return {
    response_headers: {
      headers: { headers: headerList({ ':status': String(status), 'content-type': contentType }) },
      end_of_stream: body === undefined && trailers === undefined,
    },
    ...(served === undefined ? {} : { metadata_context: { filter_metadata: { [NAMES.lb]: lb } } }),
  };
}

function responseMessages(response: HttpResponse): ProcessingRequest[] {
  const { body, trailers } = response;
  const messages = [responseHeaders(response)];
  if (body !== undefined) {
    const options = {
      hasEmptyLastPiece: response.hasEmptyLastPiece === true,
      isEnd: trailers === undefined,
    };
    for (const piece of bodyPieces(body, response.pieces ?? [16 * 1024], options))
      messages.push({ response_body: piece });
  }
  if (trailers !== undefined)
    messages.push({ response_trailers: { trailers: { headers: headerList(trailers) } } });
  return messages;
}
