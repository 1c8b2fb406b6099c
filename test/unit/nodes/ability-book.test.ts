import { expect, it } from 'vitest';
import type { ToldAbilities } from '../../../src/fleet/model-abilities.ts';
import type { ModelOnDisk } from '../../../src/fleet/types.ts';
import { AbilityBook, type Informant } from '../../../src/nodes/ability-book.ts';
import { NodeAbilities } from '../../../src/nodes/node-abilities.ts';
import { PollError } from '../../../src/nodes/poll-error.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { onDisk } from '../fleet/builders.ts';

const CAN: ToldAbilities = { capabilities: ['completion'], trainedContext: 8_192 };
const model = (name: string, digest = `d-${name}`): ModelOnDisk => ({ ...onDisk(`${name}:latest`), digest });

/** A node of the test's own: answers when it is told to. */
class FakeNode implements Informant {
  readonly node: string;
  readonly asked: string[] = [];
  readonly told: string[] = [];
  live = true;
  #answers: ((abilities: ToldAbilities | undefined | Error) => void)[] = [];

  constructor(node: string) {
    this.node = node;
  }

  ask(name: string): Promise<ToldAbilities | undefined> {
    this.asked.push(name);
    return new Promise((resolve, reject) => {
      this.#answers.push((answer) => (answer instanceof Error ? reject(answer) : resolve(answer)));
    });
  }

  tell(digest: string): void {
    this.told.push(digest);
  }

  isLive(): boolean {
    return this.live;
  }

  async answer(abilities: ToldAbilities | 'nothing' | Error = CAN): Promise<void> {
    this.#answers.shift()?.(abilities === 'nothing' ? undefined : abilities);
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  }
}

function book() {
  const clock = new FakeClock();
  const errors: unknown[] = [];
  return { clock, errors, book: new AbilityBook(clock, (error) => errors.push(error)) };
}
const failure = new PollError('timeout', 'no whole answer in time');

it('asks once for each digest, however many nodes have it and names it goes by', async () => {
  const { book: shared } = book();
  const [a, b] = [new FakeNode('a'), new FakeNode('b')];
  shared.enquire(a, [model('m'), model('copy', 'd-m')]);
  shared.enquire(b, [model('m')]);
  await a.answer();
  expect([a.asked.length, b.asked.length]).toEqual([1, 0]);
  expect([a.told, b.told]).toEqual([['d-m'], ['d-m']]);
  const c = new FakeNode('c');
  shared.enquire(c, [model('m')]);
  expect(c.asked).toEqual([]);
  expect(c.told).toEqual(['d-m']);
  expect(shared.openQuestions).toBe(0);
});

it('asks four questions at a time over the whole fleet', async () => {
  const { book: shared } = book();
  const a = new FakeNode('a');
  shared.enquire(
    a,
    ['1', '2', '3', '4', '5', '6'].map((name) => model(name)),
  );
  expect(a.asked).toHaveLength(4);
  await a.answer();
  expect(a.asked).toHaveLength(5);
  for (let left = 0; left < 5; left++) await a.answer();
  expect(a.told).toHaveLength(6);
});

it('asks another node after a failure, later each time', async () => {
  const { book: shared, clock, errors } = book();
  const [a, b] = [new FakeNode('a'), new FakeNode('b')];
  const enquire = (): void => {
    shared.enquire(a, [model('m')]);
    shared.enquire(b, [model('m')]);
  };
  enquire();
  await a.answer(failure);
  enquire();
  expect(b.asked).toEqual([]);
  await clock.advance(5_000);
  enquire();
  expect([a.asked.length, b.asked.length]).toEqual([1, 1]);
  await b.answer(failure);
  await clock.advance(9_999);
  enquire();
  expect(a.asked).toHaveLength(1);
  await clock.advance(1);
  enquire();
  expect(a.asked).toHaveLength(2);
  await a.answer();
  expect([a.told, b.told]).toEqual([['d-m'], ['d-m']]);
  expect(errors).toEqual([]);
});

it('asks a node that is too old to tell again after ten minutes', async () => {
  const { book: shared, clock } = book();
  const a = new FakeNode('a');
  shared.enquire(a, [model('m')]);
  await a.answer('nothing');
  await clock.advance(599_999);
  shared.enquire(a, [model('m')]);
  expect(a.asked).toHaveLength(1);
  await clock.advance(1);
  shared.enquire(a, [model('m')]);
  expect(a.asked).toHaveLength(2);
  expect(a.told).toEqual([]);
});

it('asks and tells nobody who has left', async () => {
  const { book: shared } = book();
  const [a, b] = [new FakeNode('a'), new FakeNode('b')];
  a.live = false;
  shared.enquire(a, [model('m')]);
  expect(a.asked).toEqual([]);
  shared.enquire(b, [model('n')]);
  b.live = false;
  await b.answer();
  expect(b.told).toEqual([]);
});

it('reports a defect of ours instead of trying again for ever', async () => {
  const { book: shared, errors } = book();
  const a = new FakeNode('a');
  shared.enquire(a, [model('m')]);
  await a.answer(new TypeError('a defect'));
  expect(errors).toHaveLength(1);
});

it('asks for nothing where a node tells no digest', () => {
  const { book: shared } = book();
  const a = new FakeNode('a');
  shared.enquire(a, [model('m', '')]);
  expect(a.asked).toEqual([]);
});

it('tells a node once, and again of a model that came back', async () => {
  const { book: shared } = book();
  const a = new FakeNode('a');
  const told: string[] = [];
  const node = new NodeAbilities({
    node: 'a',
    book: shared,
    ask: (name) => a.ask(name),
    isLive: () => true,
    onTold: (digest) => told.push(digest),
  });
  const [one, two] = [model('1'), model('2')];
  const both = [one, two];
  node.see(both);
  await a.answer();
  node.see(both);
  await a.answer();
  expect(told).toEqual(['d-1', 'd-2']);
  node.see(both);
  node.see([...both]);
  expect(told).toHaveLength(2);
  node.see([two]);
  node.see([one, two]);
  expect(told).toEqual(['d-1', 'd-2', 'd-1']);
  expect(a.asked).toHaveLength(2);
});
