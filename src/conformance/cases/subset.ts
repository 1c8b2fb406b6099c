import { type Case, demand, NotApplicable, Skipped } from '../case.ts';
import { describe } from '../exchange/answer.ts';
import { commaHint, listHint } from '../exchange/request.ts';
import type { StructValue } from '../grpc/messages.ts';
import { type Picker, pickedOf, saidPicked } from '../picker.ts';
import { SOURCE } from '../sources.ts';

/** A documentation address (RFC 5737): never an endpoint. */
const NOWHERE = '192.0.2.1:9';
/** Picks for each endpoint, as one pick alone may be right by chance. */
const REPEATS = 6;

export const SUBSET: readonly Case[] = [
  {
    id: 'SUB-1',
    title: 'a subset of one endpoint, as a list: every pick, each entry of it, is that one',
    level: 'MUST',
    source: SOURCE.subset,
    async run(picker) {
      for (const endpoint of await several(picker))
        await demandOnly(picker, [endpoint], listHint([endpoint]));
      return undefined;
    },
  },
  {
    id: 'SUB-2',
    title: 'a subset with endpoints that are none of the pool: picks are from the rest',
    level: 'MUST',
    source: SOURCE.subset,
    async run(picker) {
      for (const endpoint of await several(picker))
        await demandOnly(picker, [endpoint], listHint([NOWHERE, endpoint]));
      return undefined;
    },
  },
  {
    id: 'SUB-3',
    title: 'an empty subset is answered with ImmediateResponse 503',
    level: 'MUST',
    source: SOURCE.subset,
    run: (picker) => demandRefusal(picker, listHint([])),
  },
  {
    id: 'SUB-4',
    title: 'a subset without any endpoint of the pool is answered with ImmediateResponse 503',
    level: 'MUST',
    source: SOURCE.subset,
    run: (picker) => demandRefusal(picker, listHint([NOWHERE])),
  },
  {
    id: 'SUB-5',
    title: 'a subset holds for its own request only, also on the same connection',
    level: 'MUST',
    source: SOURCE.subset,
    async run(picker) {
      const connection = await picker.connect();
      await picker.pick(listHint([NOWHERE]), connection);
      const after = await picker.pick(undefined, connection);
      demand(after.kind === 'picked', 'a pick for a request without a hint', saidPicked(after));
      return undefined;
    },
  },
  {
    id: 'SUB-6',
    title: 'a subset that comes with a request without a body is heeded as well',
    level: 'MUST',
    source: SOURCE.subset,
    async run(picker) {
      for (const endpoint of await several(picker)) {
        const request = { method: 'GET', path: '/v1/models', subset: listHint([endpoint]) };
        const { call, answer } = await picker.ask(request);
        call.raw.reset();
        const picked = pickedOf(answer);
        if (picked.kind === 'refused' && picked.status < 400)
          throw new NotApplicable(`the picker answered the request itself, with ${picked.status}`);
        demand(
          picked.kind === 'picked' && picked.endpoints.every((each) => each === endpoint),
          endpoint,
          picked.kind === 'neither' ? describe(answer) : saidPicked(picked),
        );
      }
      return undefined;
    },
  },
  {
    id: 'SUB-7',
    title: 'a subset as one string with commas is understood',
    level: 'MAY',
    source: SOURCE.subset,
    run: (picker) => optional(picker, (endpoint) => commaHint([NOWHERE, endpoint])),
  },
  {
    id: 'SUB-8',
    title: 'a subset of addresses without ports is understood: every port of each',
    level: 'MAY',
    source: SOURCE.subset,
    run: (picker) => bareAddresses(picker),
  },
];

async function several(picker: Picker): Promise<readonly string[]> {
  const endpoints = await picker.endpoints();
  if (endpoints.length === 0) throw new Skipped('no request was given an endpoint');
  if (endpoints.length === 1)
    throw new Skipped(`only ${endpoints[0]} was ever picked: name more with --endpoints`);
  return endpoints.slice(0, 3);
}

async function demandOnly(picker: Picker, allowed: readonly string[], hint: StructValue): Promise<void> {
  for (let i = 0; i < REPEATS; i += 1) {
    const picked = await picker.pick(hint);
    demand(
      picked.kind === 'picked' && picked.endpoints.every((endpoint) => allowed.includes(endpoint)),
      `only ${allowed.join(', ')}`,
      saidPicked(picked),
    );
  }
}

async function demandRefusal(picker: Picker, hint: StructValue): Promise<undefined> {
  const picked = await picker.pick(hint);
  demand(picked.kind === 'refused' && picked.status === 503, 'ImmediateResponse 503', saidPicked(picked));
  return undefined;
}

/** The text names the list only; other pickers take this as well. */
async function optional(picker: Picker, hint: (endpoint: string) => StructValue): Promise<undefined> {
  for (const endpoint of await several(picker)) {
    const picked = await picker.pick(hint(endpoint));
    if (picked.kind === 'refused') throw new NotApplicable(`not offered: ${saidPicked(picked)}`);
    await demandOnly(picker, [endpoint], hint(endpoint));
  }
  return undefined;
}

async function bareAddresses(picker: Picker): Promise<undefined> {
  const endpoints = await several(picker);
  for (const address of new Set(endpoints.map(addressOf))) {
    const hint = listHint([address]);
    const picked = await picker.pick(hint);
    if (picked.kind === 'refused') throw new NotApplicable(`not offered: ${saidPicked(picked)}`);
    const all = (await picker.endpoints()).filter((endpoint) => addressOf(endpoint) === address);
    await demandOnly(picker, all, hint);
  }
  return undefined;
}

function addressOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}
