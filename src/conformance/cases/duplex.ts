import { type Case, demand, NotApplicable } from '../case.ts';
import { type Answer, describe, echoOf, find, immediateOf, settings } from '../exchange/answer.ts';
import { askDuplex, hearMore } from '../exchange/drive.ts';
import { chatBody, type HttpRequest } from '../exchange/request.ts';
import type { Picker } from '../picker.ts';
import { SOURCE } from '../sources.ts';
import { demandOrder, demandWhole } from './echo.ts';
import { QUIET_MS } from './quiet.ts';

const KIB = 1024;
const SIZES = [
  { id: 'DUP-2', bytes: KIB, name: '1 KiB' },
  { id: 'DUP-3', bytes: 62_000, name: '62,000 B' },
  { id: 'DUP-4', bytes: 62_001, name: '62,001 B' },
  { id: 'DUP-5', bytes: KIB * KIB, name: '1 MiB' },
  { id: 'DUP-6', bytes: 8 * KIB * KIB, name: '8 MiB' },
];
const PIECES = [
  { id: 'DUP-7', bytes: 2 * KIB, pieces: [1], name: 'single bytes' },
  { id: 'DUP-8', bytes: 200_000, pieces: [16 * KIB], name: '16 KiB' },
  { id: 'DUP-9', bytes: 300_001, pieces: [1, 7, 4_093, 16_384, 65_521, 3], name: 'odd lengths' },
];

export const DUPLEX: readonly Case[] = [
  {
    id: 'DUP-1',
    title: 'a body of 1 B is answered: passed on whole, or refused with an ImmediateResponse',
    level: 'MUST',
    source: SOURCE.duplex,
    async run(picker) {
      const request = picker.chat({ body: Buffer.from('x') });
      const { answer } = await picker.ask(request);
      const refused = immediateOf(answer);
      if (refused === undefined) demandPassed(answer, request);
      else demand(refused.status >= 400 && refused.status < 600, 'a 4xx or 5xx', describe(answer));
      return describe(answer);
    },
  },
  ...SIZES.map(
    ({ id, bytes, name }): Case => ({
      id,
      title: `a body of ${name} is passed on whole`,
      level: 'MUST',
      source: SOURCE.duplex,
      run: (picker) => passes(picker, { body: chatBody(picker.options.model, bytes) }),
    }),
  ),
  ...PIECES.map(
    ({ id, bytes, pieces, name }): Case => ({
      id,
      title: `a body that comes in pieces of ${name} is passed on whole`,
      level: 'MUST',
      source: SOURCE.duplex,
      run: (picker) => passes(picker, { body: chatBody(picker.options.model, bytes), pieces }),
    }),
  ),
  {
    id: 'DUP-10',
    title: 'an end_of_stream that comes in a piece without bytes ends the body',
    level: 'MUST',
    source: SOURCE.duplex,
    run: (picker) => passes(picker, { hasEmptyLastPiece: true }),
  },
  {
    id: 'DUP-11',
    title: 'the answer to the headers comes before the body',
    level: 'MUST',
    source: SOURCE.duplex,
    async run(picker) {
      const { answer } = await picker.ask(picker.chat());
      demandOrder(answer, 'request');
      return describe(answer);
    },
  },
  {
    id: 'DUP-12',
    title: 'the body is answered with StreamedBodyResponse',
    level: 'MUST',
    source: SOURCE.duplex,
    async run(picker) {
      const { answer } = await picker.ask(picker.chat());
      const echo = echoOf(answer, 'request_body');
      demand(
        echo.pieces.length > 0 && echo.others === 0,
        'StreamedBodyResponse in each answer to the body',
        describe(answer),
      );
      return undefined;
    },
  },
  {
    id: 'DUP-13',
    title: 'end_of_stream is set once, on the last piece of the body',
    level: 'MUST',
    source: SOURCE.streamedBody,
    async run(picker) {
      const request = picker.chat({ body: chatBody(picker.options.model, 200_000) });
      const { call, answer } = await picker.ask(request);
      const { pieces } = echoOf(await hearMore(call, answer, QUIET_MS), 'request_body');
      const ends = pieces.filter((piece) => piece.isEnd).length;
      demand(
        ends === 1 && pieces.at(-1)?.isEnd === true,
        'end_of_stream on the last piece and on no other',
        `${pieces.length} pieces, ${ends} with end_of_stream`,
      );
      return `${pieces.length} pieces`;
    },
  },
  {
    id: 'DUP-14',
    title: 'no piece of the body is larger than 64 KiB',
    level: 'SHOULD',
    source: SOURCE.duplex,
    async run(picker) {
      const request = picker.chat({ body: chatBody(picker.options.model, KIB * KIB), pieces: [256 * KIB] });
      const { answer } = await picker.ask(request);
      const largest = Math.max(0, ...echoOf(answer, 'request_body').pieces.map((piece) => piece.bytes));
      demand(largest > 0, 'the body', describe(answer));
      demand(largest <= 64 * KIB, 'at most 65,536 B', `${largest} B`);
      return `largest ${largest} B`;
    },
  },
  {
    id: 'DUP-15',
    title: 'a content-length that the picker sets is the length of the body that it passes on',
    level: 'MUST',
    source: SOURCE.bodyMode,
    async run(picker) {
      const { answer } = await picker.ask(picker.chat());
      const mutation = find(answer, 'request_headers')?.request_headers?.response?.header_mutation;
      const length = settings(mutation, 'content-length')[0]?.text;
      if (length === undefined) throw new NotApplicable('the picker sets no content-length');
      const { bytes } = echoOf(answer, 'request_body');
      demand(Number(length) === bytes.length, `${bytes.length}`, length);
      return length;
    },
  },
  {
    id: 'DUP-16',
    title: 'a second end of stream is ignored, and the response phase goes on',
    level: 'SHOULD',
    source: SOURCE.streamedBody,
    async run(picker) {
      const { call, answer } = await picker.ask(picker.chat());
      demandPassed(answer, picker.chat());
      call.send({ request_body: { body: Buffer.alloc(0), end_of_stream: true } });
      const after = await hearMore(call, answer, QUIET_MS);
      const ends = echoOf(after, 'request_body').pieces.filter((piece) => piece.isEnd).length;
      demand(
        ends === 1 && after.ending === answer.ending,
        'no further answer, and the stream as it was',
        describe(after),
      );
      return undefined;
    },
  },
  {
    id: 'DUP-17',
    title: 'request trailers end the body: headers, body, then an answer to the trailers',
    level: 'MUST',
    source: SOURCE.duplex,
    async run(picker) {
      const request = picker.chat({ trailers: { 'x-checksum': 'abc' } });
      const { answer } = await picker.ask(request);
      demand(find(answer, 'request_trailers') !== undefined, 'an answer to the trailers', describe(answer));
      demandOrder(answer, 'request');
      demandWhole(answer, 'request_body', request.body ?? Buffer.alloc(0));
      return describe(answer);
    },
  },
  {
    id: 'DUP-18',
    title: 'where trailers follow, no piece of the body has end_of_stream',
    level: 'MUST',
    source: SOURCE.streamedBody,
    async run(picker) {
      const { answer } = await picker.ask(picker.chat({ trailers: { 'x-checksum': 'abc' } }));
      if (find(answer, 'request_trailers') === undefined)
        throw new NotApplicable('trailers are not answered at all (DUP-17)');
      const { pieces } = echoOf(answer, 'request_body');
      demand(!pieces.some((piece) => piece.isEnd), 'the trailers as the only end', describe(answer));
      return undefined;
    },
  },
  {
    id: 'DUP-19',
    title: 'a proxy that does not read for a while gets the whole body afterwards',
    level: 'MUST',
    source: SOURCE.duplex,
    run: (picker) => slowReader(picker),
  },
];

async function passes(picker: Picker, more: Partial<HttpRequest>): Promise<string> {
  const request = picker.chat(more);
  const { answer } = await picker.ask(request);
  demandPassed(answer, request);
  const { pieces } = echoOf(answer, 'request_body');
  return `${pieces.length} pieces`;
}

function demandPassed(answer: Answer, request: HttpRequest): void {
  const body = request.body ?? Buffer.alloc(0);
  const refused = immediateOf(answer);
  if (refused?.status === 413)
    throw new NotApplicable(`refused with 413: ${body.length} B are too many for it`);
  demandOrder(answer, 'request');
  demandWhole(answer, 'request_body', body);
}

async function slowReader(picker: Picker): Promise<string> {
  const request = picker.chat({ body: chatBody(picker.options.model, 4 * KIB * KIB) });
  const call = await picker.stream();
  call.raw.pause();
  const resume = setTimeout(() => call.raw.resume(), 2 * QUIET_MS);
  const answer = await askDuplex(call, request, picker.options.timeoutMs);
  clearTimeout(resume);
  demandPassed(answer, request);
  return describe(answer);
}
