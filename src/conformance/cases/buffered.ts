import { type Case, demand, NotApplicable } from '../case.ts';
import { type Answer, describe, destinationOf, find, immediateOf, settings } from '../exchange/answer.ts';
import { askBuffered } from '../exchange/drive.ts';
import { chatBody } from '../exchange/request.ts';
import type { Picker } from '../picker.ts';
import { SOURCE } from '../sources.ts';

export const BUFFERED: readonly Case[] = [
  {
    id: 'BUF-1',
    title: 'BUFFERED: headers, then the whole body in one message, are answered one by one',
    level: 'MAY',
    source: SOURCE.buffered,
    async run(picker) {
      const answer = await buffered(picker, chatBody(picker.options.model));
      const kinds = answer.replies.map((reply) => reply.response);
      demand(
        kinds.join() === 'request_headers,request_body',
        'one answer to the headers, one to the body',
        describe(answer),
      );
      return undefined;
    },
  },
  {
    id: 'BUF-2',
    title: 'BUFFERED: the destination is in header and metadata, with the same value',
    level: 'MAY',
    source: SOURCE.destination,
    async run(picker) {
      const answer = await buffered(picker, chatBody(picker.options.model));
      const destination = destinationOf(answer);
      demand(destination?.header !== undefined, 'the header', describe(answer));
      demand(
        destination.header === destination.metadata,
        'one value in both places',
        `header ${destination.header}, metadata ${destination.metadata}`,
      );
      return destination.header;
    },
  },
  {
    id: 'BUF-3',
    title: 'BUFFERED: no StreamedBodyResponse, which only full-duplex mode allows',
    level: 'MAY',
    source: SOURCE.bodyMutation,
    async run(picker) {
      const answer = await buffered(picker, chatBody(picker.options.model));
      const mutation = find(answer, 'request_body')?.request_body?.response?.body_mutation;
      demand(!mutation?.streamed_response, 'body, clear_body or nothing', 'streamed_response');
      return undefined;
    },
  },
  {
    id: 'BUF-4',
    title: 'BUFFERED: a changed body comes with its new content-length',
    level: 'MAY',
    source: SOURCE.bodyMode,
    async run(picker) {
      const answer = await buffered(picker, chatBody(picker.options.model));
      const common = find(answer, 'request_body')?.request_body?.response;
      const body = common?.body_mutation?.body;
      if (body === undefined || body.length === 0) throw new NotApplicable('the picker changes nothing');
      const length = settings(common?.header_mutation, 'content-length')[0]?.text;
      demand(Number(length) === body.length, `content-length ${body.length}`, `${length}`);
      return undefined;
    },
  },
  {
    id: 'BUF-5',
    title: 'BUFFERED: a body of 8 MiB in one message is answered',
    level: 'MAY',
    source: SOURCE.buffered,
    async run(picker) {
      const answer = await buffered(picker, chatBody(picker.options.model, 8 << 20));
      const refused = immediateOf(answer);
      if (refused?.status === 413) throw new NotApplicable('refused with 413: too many bytes for it');
      demand(destinationOf(answer) !== undefined, 'a destination', describe(answer));
      return undefined;
    },
  },
];

/** How long a picker that waits for a body is given to answer the headers. */
const HEADERS_MS = 1_500;

/** Known from the first try on, so that a picker without this mode costs its time once. */
async function buffered(picker: Picker, body: Buffer): Promise<Answer> {
  const known = picker.once.get('buffered') ?? offersBuffered(picker);
  picker.once.set('buffered', known);
  const lack = await known;
  if (typeof lack === 'string') throw new NotApplicable(`BUFFERED is not offered: ${lack}`);
  const call = await picker.stream();
  const { whole } = await askBuffered(call, picker.chat({ body }), picker.options.timeoutMs);
  return whole;
}

/** Undefined where it is, else what came instead. */
async function offersBuffered(picker: Picker): Promise<string | undefined> {
  const call = await picker.stream();
  const { toHeaders } = await askBuffered(
    call,
    picker.chat(),
    Math.min(HEADERS_MS, picker.options.timeoutMs),
  );
  call.raw.reset();
  return toHeaders.replies.at(-1)?.response === 'request_headers'
    ? undefined
    : `the answer to the headers alone was ${describe(toHeaders)}`;
}
