import { type Case, demand, NotApplicable } from '../case.ts';
import { describe, destinationOf, immediateOf } from '../exchange/answer.ts';
import { hearMore } from '../exchange/drive.ts';
import { type Picker, pickedOf } from '../picker.ts';
import { SOURCE } from '../sources.ts';
import { QUIET_MS } from './quiet.ts';

const BARE = { method: 'GET', path: '/v1/models' };

export const HEADERS_ONLY: readonly Case[] = [
  {
    id: 'HDR-1',
    title: 'a request without a body (end_of_stream with the headers) is answered',
    level: 'MUST',
    source: SOURCE.request,
    async run(picker) {
      const { answer } = await picker.ask(BARE);
      const said = answer.replies.at(-1)?.response;
      demand(
        said === 'request_headers' || said === 'immediate_response' || endedCleanly(answer.ending),
        'an answer to the headers, an ImmediateResponse, or the stream closed with status 0',
        describe(answer),
      );
      return describe(answer);
    },
  },
  {
    id: 'HDR-2',
    title: 'a request without a body has a destination as well, the same in header and metadata',
    level: 'MUST',
    source: SOURCE.destination,
    async run(picker) {
      const { answer } = await picker.ask(BARE);
      const immediate = immediateOf(answer);
      if (immediate !== undefined && immediate.status < 400)
        throw new NotApplicable(`the picker answered the request itself, with ${immediate.status}`);
      if (immediate !== undefined) return `ImmediateResponse ${immediate.status}`;
      const destination = destinationOf(answer);
      demand(destination !== undefined, 'a destination, or an ImmediateResponse', describe(answer));
      const { header, metadata } = destination;
      demand(
        header !== undefined && header === metadata,
        'one value in both places',
        `header ${header}, metadata ${metadata}`,
      );
      return header;
    },
  },
  {
    id: 'HDR-3',
    title: 'a request without a body gets one answer, no body and no trailers',
    level: 'MUST',
    source: SOURCE.response,
    async run(picker) {
      const { call, answer } = await picker.ask(BARE);
      const all = await hearMore(call, answer, QUIET_MS);
      demand(all.replies.length === 1, 'exactly one answer', describe(all));
      return undefined;
    },
  },
  {
    id: 'HDR-4',
    title: 'headers that a body follows in full-duplex mode are not refused before it has come',
    level: 'MUST',
    source: SOURCE.duplex,
    run: (picker) => patience(picker),
  },
];

/** A picker may hold its answer back until it has the body, or answer at once; it may not give up. */
async function patience(picker: Picker): Promise<string> {
  const request = picker.chat({ pieces: [7, 90] });
  const { answer } = await picker.ask(request);
  demand(pickedOf(answer).kind === 'picked', 'a destination once the body has come', describe(answer));
  return describe(answer);
}

function endedCleanly(ending: { kind: string; code?: number } | undefined): boolean {
  return ending?.kind === 'status' && ending.code === 0;
}
