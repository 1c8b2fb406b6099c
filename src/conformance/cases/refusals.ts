import { type Case, demand, Skipped } from '../case.ts';
import { describe, immediateOf } from '../exchange/answer.ts';
import { askDuplex } from '../exchange/drive.ts';
import type { HttpRequest } from '../exchange/request.ts';
import { chatBody } from '../exchange/request.ts';
import { type Picker, pickedOf } from '../picker.ts';
import { SOURCE } from '../sources.ts';

export const REFUSALS: readonly Case[] = [
  {
    id: 'REF-1',
    title: 'a body that is no JSON gets a destination or an ImmediateResponse, not a broken stream',
    level: 'MUST',
    source: SOURCE.destination,
    run: (picker) => pickOrRefusal(picker, { body: Buffer.from('{"model": "x", "messages": [') }),
  },
  {
    id: 'REF-2',
    title: 'a model that nobody has gets a destination or an ImmediateResponse',
    level: 'MUST',
    source: SOURCE.destination,
    run: (picker) => pickOrRefusal(picker, { body: chatBody('no-such-model-0b1c') }),
  },
  {
    id: 'REF-3',
    title: 'a POST without a body gets a destination or an ImmediateResponse',
    level: 'MUST',
    source: SOURCE.destination,
    async run(picker) {
      const { method, path } = picker.chat();
      return pickOrRefusal(picker, { method, path }, true);
    },
  },
  {
    id: 'REF-4',
    title: 'an empty body gets a destination or an ImmediateResponse',
    level: 'MUST',
    source: SOURCE.destination,
    run: (picker) => pickOrRefusal(picker, { body: Buffer.alloc(0) }),
  },
  {
    id: 'REF-5',
    title: 'a path of no inference API gets a destination or an ImmediateResponse',
    level: 'MUST',
    source: SOURCE.destination,
    run: (picker) => pickOrRefusal(picker, { path: '/no/such/path' }),
  },
  {
    id: 'REF-6',
    title: 'without any ready endpoint the answer is ImmediateResponse 503',
    level: 'MUST',
    source: SOURCE.destination,
    async run(picker) {
      const { empty } = picker.options;
      if (empty === undefined)
        throw new Skipped('needs --empty HOST:PORT, the same picker without a ready endpoint');
      const call = await picker.stream(await picker.connect(empty));
      const answer = await askDuplex(call, picker.chat(), picker.options.timeoutMs);
      demand(immediateOf(answer)?.status === 503, 'ImmediateResponse 503', describe(answer));
      return undefined;
    },
  },
];

async function pickOrRefusal(picker: Picker, more: Partial<HttpRequest>, isBare = false): Promise<string> {
  const request = isBare ? { method: 'POST', path: picker.options.path, ...more } : picker.chat(more);
  const { answer } = await picker.ask(request);
  const picked = pickedOf(answer);
  demand(picked.kind !== 'neither', 'a destination, or an ImmediateResponse with an error', describe(answer));
  if (picked.kind === 'refused')
    demand(picked.status >= 400 && picked.status < 600, 'a 4xx or 5xx', describe(answer));
  return describe(answer);
}
