import { type Case, demand, NotApplicable, Skipped } from '../case.ts';
import { describe, find } from '../exchange/answer.ts';
import { hear } from '../exchange/drive.ts';
import { listHint } from '../exchange/request.ts';
import { respond, responseHeaders, route, unlessOver } from '../exchange/response.ts';
import type { Picker } from '../picker.ts';
import { SOURCE } from '../sources.ts';
import { completion } from './answers.ts';

/** Requests held open at one endpoint, and picks that look where the next ones go. */
const HELD = 3;
const LOOKS = 12;

export const SERVED: readonly Case[] = [
  {
    id: 'SRV-1',
    title: 'the endpoint that served, told with the response headers, is accepted',
    level: 'MUST',
    source: SOURCE.served,
    run: (picker) => accepts(picker, (endpoints) => endpoints[0]),
  },
  {
    id: 'SRV-2',
    title: 'an endpoint that served but was not the first of the list is accepted',
    level: 'MUST',
    source: SOURCE.served,
    async run(picker) {
      const all = await picker.endpoints();
      if (all.length < 2) throw new Skipped('needs two endpoints: name them with --endpoints');
      return accepts(picker, (endpoints) => all.find((each) => each !== endpoints[0]));
    },
  },
  {
    id: 'SRV-3',
    title: 'a response without that metadata is accepted, as proxies exist that do not tell',
    level: 'SHOULD',
    source: SOURCE.served,
    run: (picker) => accepts(picker, () => undefined),
  },
  {
    id: 'SRV-4',
    title: 'an endpoint that served but is none of the pool does no harm',
    level: 'SHOULD',
    source: SOURCE.served,
    run: (picker) => accepts(picker, () => '192.0.2.1:9'),
  },
  {
    id: 'SRV-5',
    title: 'load is counted where the request was served, as far as picks show it',
    level: 'MAY',
    source: SOURCE.served,
    run: (picker) => countsWhereServed(picker),
  },
];

async function accepts(
  picker: Picker,
  servedOf: (endpoints: readonly string[]) => string | undefined,
): Promise<string> {
  const { call, endpoints } = await route(picker);
  const response = { ...completion(picker.options.model), served: servedOf(endpoints) };
  const answer = await respond(picker, call, response);
  demand(
    find(answer, 'response_headers') !== undefined && !answer.isSilent && !isBroken(answer.ending),
    'the response answered to its end',
    describe(answer),
  );
  return response.served ?? 'not told';
}

/** Requests that were sent to A and served by B weigh on B: where load decides at all, the next ones go to A. */
async function countsWhereServed(picker: Picker): Promise<string> {
  const [a, b] = await picker.endpoints();
  if (a === undefined || b === undefined)
    throw new Skipped('needs two endpoints: name them with --endpoints');
  const both = listHint([a, b]);
  for (let i = 0; i < HELD; i += 1) {
    const { call, answer } = await picker.ask(picker.chat({ subset: listHint([a]) }));
    if (answer.isSilent)
      throw new NotApplicable('not to be seen from outside: requests wait for a free endpoint');
    const response = { status: 200, contentType: 'text/event-stream', body: Buffer.alloc(0), served: b };
    call.send(responseHeaders(response));
    unlessOver(await hear(call, (replies) => replies.length > 0, picker.options.timeoutMs));
  }
  let first = 0;
  for (let i = 0; i < LOOKS; i += 1) {
    const picked = await picker.pick(both);
    if (picked.kind === 'picked' && picked.endpoints[0] === a) first += 1;
  }
  const seen = `${first} of ${LOOKS} picks went to the endpoint that served none of ${HELD}`;
  if (first < LOOKS * 0.8) throw new NotApplicable(`not to be seen from outside: ${seen}`);
  return seen;
}

function isBroken(ending: { kind: string; code?: number } | undefined): boolean {
  return ending !== undefined && !(ending.kind === 'status' && ending.code === 0);
}
