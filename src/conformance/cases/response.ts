import { type Case, demand } from '../case.ts';
import { type Answer, describe, echoOf, find } from '../exchange/answer.ts';
import { hear, hearMore } from '../exchange/drive.ts';
import { type HttpResponse, respond, responseHeaders, route, unlessOver } from '../exchange/response.ts';
import type { Picker } from '../picker.ts';
import { SOURCE } from '../sources.ts';
import { completion, events } from './answers.ts';
import { demandOrder, demandWhole } from './echo.ts';
import { QUIET_MS } from './quiet.ts';

const TOKENS = 20;

export const RESPONSE: readonly Case[] = [
  {
    id: 'RES-1',
    title: 'a response is passed on whole: headers, then body',
    level: 'MUST',
    source: SOURCE.proposal,
    async run(picker) {
      const response = completion(picker.options.model);
      return describe(await passed(picker, response));
    },
  },
  {
    id: 'RES-2',
    title: 'a streamed response goes on token by token, each before the next has come',
    level: 'MUST',
    source: SOURCE.proposal,
    run: (picker) => tokenByToken(picker),
  },
  {
    id: 'RES-3',
    title: 'the response is answered with StreamedBodyResponse, end_of_stream once and last',
    level: 'MUST',
    source: SOURCE.streamedBody,
    async run(picker) {
      const response = { ...completion(picker.options.model, 200_000), served: undefined };
      const { call } = await route(picker);
      const answer = await hearMore(call, await respond(picker, call, response), QUIET_MS);
      const { pieces, others } = echoOf(answer, 'response_body');
      const ends = pieces.filter((piece) => piece.isEnd).length;
      demand(others === 0, 'StreamedBodyResponse in each answer to the body', describe(answer));
      demand(
        ends === 1 && pieces.at(-1)?.isEnd === true,
        'end_of_stream on the last piece and on no other',
        describe(answer),
      );
      return undefined;
    },
  },
  {
    id: 'RES-4',
    title: 'a response of 1 MiB in pieces of odd lengths is passed on whole',
    level: 'MUST',
    source: SOURCE.duplex,
    async run(picker) {
      const response = { ...completion(picker.options.model, 1 << 20), pieces: [1, 9_999, 65_536, 17] };
      await passed(picker, response);
      return undefined;
    },
  },
  {
    id: 'RES-5',
    title: 'no piece of the response is larger than 64 KiB',
    level: 'SHOULD',
    source: SOURCE.duplex,
    async run(picker) {
      const response = { ...completion(picker.options.model, 1 << 20), pieces: [200_000] };
      const answer = await passed(picker, response);
      const largest = Math.max(...echoOf(answer, 'response_body').pieces.map((piece) => piece.bytes));
      demand(largest <= 65_536, 'at most 65,536 B', `${largest} B`);
      return `largest ${largest} B`;
    },
  },
  {
    id: 'RES-6',
    title: 'an end_of_stream that comes in a piece without bytes ends the response',
    level: 'MUST',
    source: SOURCE.duplex,
    async run(picker) {
      await passed(picker, { ...completion(picker.options.model), hasEmptyLastPiece: true });
      return undefined;
    },
  },
  {
    id: 'RES-7',
    title: 'response trailers are answered, after the body',
    level: 'MUST',
    source: SOURCE.request,
    async run(picker) {
      const response = { ...completion(picker.options.model), trailers: { 'grpc-status': '0' } };
      const answer = await passed(picker, response);
      demand(find(answer, 'response_trailers') !== undefined, 'an answer to the trailers', describe(answer));
      return describe(answer);
    },
  },
  {
    id: 'RES-8',
    title: 'a response without a body (end_of_stream with the headers) is answered',
    level: 'MUST',
    source: SOURCE.request,
    async run(picker) {
      const { call } = await route(picker);
      const answer = await respond(picker, call, { status: 204, contentType: 'application/json' });
      demand(find(answer, 'response_headers') !== undefined, 'an answer to the headers', describe(answer));
      return undefined;
    },
  },
  {
    id: 'RES-9',
    title: "an endpoint's error is passed on whole",
    level: 'MUST',
    source: SOURCE.duplex,
    async run(picker) {
      const body = Buffer.from('{"error":{"message":"model failed to load","type":"server_error"}}');
      await passed(picker, { status: 500, contentType: 'application/json', body });
      return undefined;
    },
  },
  {
    id: 'RES-10',
    title: 'a response that is no JSON is passed on byte for byte',
    level: 'MUST',
    source: SOURCE.duplex,
    async run(picker) {
      const body = Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * 7) % 256));
      await passed(picker, { status: 200, contentType: 'application/octet-stream', body });
      return undefined;
    },
  },
];

async function passed(picker: Picker, response: HttpResponse): Promise<Answer> {
  const { call, endpoints } = await route(picker);
  const answer = await respond(picker, call, { ...response, served: endpoints[0] });
  demandOrder(answer, 'response');
  demandWhole(answer, 'response_body', response.body ?? Buffer.alloc(0));
  return answer;
}

async function tokenByToken(picker: Picker): Promise<string> {
  const { call, endpoints } = await route(picker);
  const pieces = events(picker.options.model, TOKENS);
  const timeoutMs = picker.options.timeoutMs;
  call.send(
    responseHeaders({
      status: 200,
      contentType: 'text/event-stream',
      body: Buffer.alloc(0),
      served: endpoints[0],
    }),
  );
  const isHeard = (replies: readonly { response?: string }[]) =>
    replies.some((reply) => reply.response === 'response_headers');
  let answer = unlessOver(await hear(call, isHeard, timeoutMs));
  let sent = 0;
  let slowestMs = 0;
  for (const [index, piece] of pieces.entries()) {
    const isLast = index === pieces.length - 1;
    call.send({ response_body: { body: piece, end_of_stream: isLast } });
    sent += piece.length;
    const at = performance.now();
    const due = sent;
    answer = await hear(call, (replies) => echoed(replies) >= due, timeoutMs, answer.replies);
    slowestMs = Math.max(slowestMs, performance.now() - at);
    demand(
      echoOf(answer, 'response_body').bytes.length >= due,
      `piece ${index + 1} of ${pieces.length} back before the next is sent`,
      describe(answer),
    );
  }
  demandOrder(answer, 'response');
  demandWhole(answer, 'response_body', Buffer.concat(pieces));
  return `${pieces.length} pieces, the slowest after ${slowestMs.toFixed(0)} ms`;
}

function echoed(replies: Answer['replies']): number {
  return echoOf({ replies, ending: undefined, isSilent: false }, 'response_body').bytes.length;
}
