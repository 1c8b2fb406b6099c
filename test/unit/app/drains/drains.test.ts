import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Drain, NodeSpec } from '../../../../src/fleet/types.ts';
import type { Store } from '../../../../src/store/contract.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { aSharedStore, configured, type DocumentStore, DrainBench, storeWith } from './bench.ts';

let clock: FakeClock;
let store: Store;
let running: DrainBench[];

beforeEach(() => {
  clock = new FakeClock({ now: 1_000 });
  store = aSharedStore(clock);
  running = [];
});
afterEach(async () => {
  for (const bench of running) await bench.stop();
});

async function start(
  nodes: readonly NodeSpec[] = configured('a', 'b'),
  replica = 'me',
  over: DocumentStore = store,
): Promise<DrainBench> {
  const bench = new DrainBench(clock, over, nodes, replica);
  running.push(bench);
  return bench.start();
}

async function restart(bench: DrainBench, nodes = configured('a', 'b')): Promise<DrainBench> {
  await bench.stop();
  running.splice(running.indexOf(bench), 1);
  return start(nodes);
}

const plain = { note: '', removeAfterMs: undefined };
const said = (note: string): Drain => ({ since: '2026-01-01T00:00:00.000Z', note, removeAt: undefined });

describe("an operator's drain", () => {
  it('takes the node out of new picks, with its note and time, and undrain ends it', async () => {
    const bench = await start();
    await bench.drains.drain('a', { note: ' new\nGPU ', removeAfterMs: undefined });
    expect(bench.status('a')).toBe('draining');
    expect(bench.drains.of('a').get('operator')).toEqual({
      since: clock.date().toISOString(),
      note: 'new GPU',
      removeAt: undefined,
    });
    expect(bench.status('b')).not.toBe('draining');
    await bench.drains.undrain('a');
    expect(bench.status('a')).not.toBe('draining');
    expect(bench.log.messages('info')).toEqual([
      'node a drains (operator): it gets no new requests',
      'node a drains no longer',
    ]);
  });

  it('survives a restart', async () => {
    const bench = await start();
    await bench.drains.drain('a', plain);
    const again = await restart(bench);
    expect(again.status('a')).toBe('draining');
    await again.drains.undrain('a');
    expect((await restart(again)).status('a')).not.toBe('draining');
  });

  it('survives a reload that moves the node or leaves it out for a while', async () => {
    const bench = await start();
    await bench.drains.drain('a', plain);
    bench.registry.configure(configured('b'));
    expect(bench.fleet.nodes.has('a')).toBe(false);
    bench.registry.configure(configured('b', 'a'));
    expect(bench.status('a')).toBe('draining');
  });

  it('keeps its beginning when it is ordered again with another note', async () => {
    const bench = await start();
    await bench.drains.drain('a', { note: 'x', removeAfterMs: undefined });
    const since = bench.drains.of('a').get('operator')?.since;
    await clock.advance(60_000);
    await bench.drains.drain('a', { note: 'y', removeAfterMs: undefined });
    expect(bench.drains.of('a').get('operator')).toMatchObject({ since, note: 'y' });
  });

  it('reaches the other replicas at once, and its end does', async () => {
    const [one, two] = [await start(), await start(configured('a', 'b'), 'other')];
    await one.drains.drain('a', plain);
    await clock.advance(1);
    expect(two.status('a')).toBe('draining');
    await two.drains.undrain('a');
    await clock.advance(1);
    expect(one.status('a')).not.toBe('draining');
  });

  it('reaches a replica that missed the message, within ten seconds', async () => {
    const one = await start();
    const deaf = storeWith(store, { subscribe: () => () => {} });
    const two = await start(configured('a', 'b'), 'deaf', deaf);
    await one.drains.drain('a', plain);
    await clock.advance(10_500);
    expect(two.status('a')).toBe('draining');
    await one.drains.undrain('a');
    await clock.advance(10_500);
    expect(two.status('a')).not.toBe('draining');
  });

  it('is written again to a store that lost its data', async () => {
    const bench = await start();
    await bench.drains.drain('a', plain);
    await store.deleteDocument('drains', 'a');
    await clock.advance(10_500);
    expect(bench.status('a')).toBe('draining');
    expect([...(await store.documents('drains')).keys()]).toEqual(['a']);
  });

  it('of a replica whose clock is ahead can be ended by one whose clock is behind', async () => {
    const early = await start();
    const ahead = new FakeClock({ now: 1_000, date: new Date('2027-01-01T00:00:00Z') });
    const late = new DrainBench(ahead, store, configured('a', 'b'), 'late');
    await late.drains.drain('a', plain);
    await early.drains.load();
    await early.drains.undrain('a');
    await late.drains.load();
    expect(late.status('a')).not.toBe('draining');
  });

  it('forgets what was ended a day ago', async () => {
    const bench = await start();
    await bench.drains.drain('a', plain);
    await bench.drains.undrain('a');
    expect((await store.documents('drains')).size).toBe(1);
    clock.jump(25 * 3_600_000);
    await bench.drains.load();
    await bench.drains.load();
    expect((await store.documents('drains')).size).toBe(0);
  });

  it('is not done where it could not be kept', async () => {
    const down = storeWith(store, { putDocument: () => Promise.reject(new Error('gone')) });
    const bench = await start(undefined, 'me', down);
    await expect(bench.drains.drain('a', plain)).rejects.toMatchObject({ reason: 'store_down' });
    expect(bench.status('a')).not.toBe('draining');
  });

  it('stays as it is while the store does not answer, which is said once', async () => {
    const bench = await start();
    await bench.drains.drain('a', plain);
    const documents = store.documents;
    store.documents = () => Promise.reject(new Error('gone'));
    await clock.advance(60_000);
    expect(bench.status('a')).toBe('draining');
    const warnings = bench.log.messages('warn').filter((line) => line.startsWith('drains cannot be read'));
    expect(warnings).toHaveLength(1);
    store.documents = documents;
    await clock.advance(2_000);
    expect(bench.log.messages('info')).toContain('drains are read from the store again');
  });

  it.each([
    ['a text', 'x'],
    ['a number', 5],
    ['another kind', { kind: 'pause', at: '2026-01-01T00:00:00.000Z' }],
    ['no time', { kind: 'drain', since: 'then', note: '', at: 'now' }],
    ['a long note', { kind: 'ended', at: '2026-01-01T00:00:00.000Z', note: 'x'.repeat(10_000) }],
  ])('F46: ignores %s in the store, and says so once', async (_, value) => {
    await store.putDocument('drains', 'a', value);
    const bench = await start();
    await clock.advance(60_000);
    expect(bench.status('a')).not.toBe('draining');
    expect(bench.log.count('warn')).toBe(1);
  });

  it('of a node that nobody knows is refused, and so is ending what is not drained', async () => {
    const bench = await start();
    await expect(bench.drains.drain('c', plain)).rejects.toMatchObject({ reason: 'unknown_node' });
    await expect(bench.drains.undrain('c')).rejects.toMatchObject({ reason: 'unknown_node' });
    await expect(bench.drains.undrain('a')).rejects.toMatchObject({
      reason: 'conflict',
      message: 'node a is not drained',
    });
  });

  it("says where a drain ends that is not the operator's", async () => {
    const bench = await start(configured('a', 'b').map((node) => ({ ...node, drain: node.id === 'b' })));
    bench.drains.set('a', 'maintenance', said('fans'));
    await expect(bench.drains.undrain('a')).rejects.toThrow('drained by its agent (maintenance)');
    await expect(bench.drains.undrain('b')).rejects.toThrow('take "drain: true" out of the file');
  });
});

describe('removal', () => {
  const soon = { note: '', removeAfterMs: 600_000 };

  it('comes when the requests have ended on all replicas, and stay ended for two seconds', async () => {
    const bench = await start();
    await bench.find('found');
    bench.inflight.set('found', 2);
    await bench.drains.drain('found', soon);
    await clock.advance(60_000);
    expect(bench.fleet.nodes.has('found')).toBe(true);
    bench.inflight.set('found', 0);
    await clock.advance(1_000);
    bench.inflight.set('found', 1);
    await clock.advance(5_000);
    expect(bench.fleet.nodes.has('found')).toBe(true);
    bench.inflight.set('found', 0);
    await clock.advance(1_500);
    expect(bench.fleet.nodes.has('found')).toBe(true);
    await clock.advance(1_500);
    expect(bench.fleet.nodes.has('found')).toBe(false);
    expect(bench.registry.get('found')?.state).toBe('removed');
    expect(bench.log.messages('info')).toContain(
      'node found has drained and is removed: its requests have ended',
    );
  });

  it('comes at the deadline with whatever still runs', async () => {
    const bench = await start();
    await bench.find('found');
    bench.inflight.set('found', 2);
    await bench.drains.drain('found', soon);
    await clock.advance(599_000);
    expect(bench.fleet.nodes.has('found')).toBe(true);
    await clock.advance(1_500);
    expect(bench.fleet.nodes.has('found')).toBe(false);
    expect(bench.log.messages('info')).toContain(
      'node found has drained and is removed: its time is up with 2 requests still running',
    );
  });

  it('comes after a restart too, at the same deadline', async () => {
    const bench = await start();
    await bench.find('found');
    await bench.drains.drain('found', soon);
    const again = await restart(bench);
    again.inflight.set('found', 1);
    expect(again.status('found')).toBe('draining');
    await clock.advance(600_000);
    expect(again.registry.get('found')?.state).toBe('removed');
  });

  it('is cancelled by undrain', async () => {
    const bench = await start();
    await bench.find('found');
    bench.inflight.set('found', 1);
    await bench.drains.drain('found', soon);
    await bench.drains.undrain('found');
    bench.inflight.set('found', 0);
    await clock.advance(700_000);
    expect(bench.registry.get('found')?.state).toBe('member');
  });

  it('leaves no drain behind: approved again, the node serves again', async () => {
    const bench = await start();
    await bench.find('found');
    await bench.drains.drain('found', soon);
    await clock.advance(3_000);
    await bench.registry.approve('found');
    await clock.advance(3_000);
    expect(bench.registry.get('found')?.state).toBe('member');
    expect(bench.status('found')).not.toBe('draining');
  });

  it('of a configured node is refused at once, as it would come back with the next reload', async () => {
    const bench = await start();
    await expect(bench.drains.drain('a', soon)).rejects.toMatchObject({ reason: 'refused' });
    expect(bench.status('a')).not.toBe('draining');
  });

  it('is tried again where the store does not answer, and that is said once', async () => {
    const bench = await start();
    await bench.find('found');
    await bench.drains.drain('found', soon);
    const { putDocument } = store;
    store.putDocument = () => Promise.reject(new Error('gone'));
    await clock.advance(5_000);
    expect(bench.fleet.nodes.has('found')).toBe(true);
    const lines = bench.log.messages('warn').filter((line) => line.includes('cannot be removed yet'));
    expect(lines).toHaveLength(1);
    store.putDocument = putDocument;
    await clock.advance(1_000);
    expect(bench.fleet.nodes.has('found')).toBe(false);
  });
});

describe('what agents say', () => {
  it('drains beside the operator: the node is back when nobody wants it drained any more', async () => {
    const bench = await start();
    await bench.drains.drain('a', plain);
    bench.drains.set('a', 'maintenance', said('fans'));
    bench.drains.set('a', 'owner_hours', said('gaming'));
    expect(bench.causes('a')).toEqual(['operator', 'maintenance', 'owner_hours']);
    await bench.drains.undrain('a');
    bench.drains.set('a', 'maintenance', undefined);
    expect(bench.status('a')).toBe('draining');
    bench.drains.set('a', 'owner_hours', undefined);
    expect(bench.status('a')).not.toBe('draining');
  });

  it('reaches the other replicas, and its end does', async () => {
    const [one, two] = [await start(), await start(configured('a', 'b'), 'other')];
    one.drains.set('a', 'owner_hours', said('gaming'));
    await clock.advance(1);
    expect(two.causes('a')).toEqual(['owner_hours']);
    two.drains.set('a', 'owner_hours', undefined);
    await clock.advance(1);
    expect(one.status('a')).not.toBe('draining');
  });

  it('is told to a replica that starts later', async () => {
    const one = await start();
    one.drains.set('a', 'owner_hours', said('gaming'));
    const two = await start(configured('a', 'b'), 'other');
    await clock.advance(10_500);
    expect(two.causes('a')).toEqual(['owner_hours']);
    await clock.advance(600_000);
    expect(two.causes('a')).toEqual(['owner_hours']);
  });

  it('holds over a restart until the agent is heard again, and its end does', async () => {
    const one = await start();
    one.drains.set('a', 'owner_hours', said('gaming'));
    one.drains.set('b', 'maintenance', said('fans'));
    const two = await restart(one);
    expect(two.causes('a')).toEqual(['owner_hours']);
    two.drains.set('a', 'owner_hours', undefined);
    two.drains.set('b', 'maintenance', said('fans'));
    const three = await restart(two);
    expect(three.causes('a')).toEqual([]);
    await clock.advance(1_000);
    expect(three.causes('b')).toEqual(['maintenance']);
    expect(three.log.count('warn')).toBe(0);
  });

  it('that was kept ends a minute after a restart where its agent is heard no more, and is kept no longer', async () => {
    const one = await start();
    one.drains.set('a', 'owner_hours', said('gaming'));
    const two = await restart(one);
    await clock.advance(65_000);
    expect(two.causes('a')).toEqual([]);
    expect((await store.documents('drains')).size).toBe(0);
  });

  it('is kept once the store answers again', async () => {
    let isDown = true;
    const flaky = storeWith(store, {
      putDocument: (...args) => (isDown ? Promise.reject(new Error('gone')) : store.putDocument(...args)),
    });
    const one = await start(undefined, 'me', flaky);
    one.drains.set('a', 'owner_hours', said('gaming'));
    await clock.advance(11_000);
    expect((await store.documents('drains')).size).toBe(0);
    isDown = false;
    await clock.advance(11_000);
    expect([...(await store.documents('drains')).keys()]).toEqual(['agent:a']);
  });

  it.each([['x'], [null], [{ kind: 'agent', causes: [{ cause: 'operator', since: 'x', note: '' }] }]])(
    'F46: is nothing where the store holds %j',
    async (value) => {
      await store.putDocument('drains', 'agent:a', value);
      expect((await start()).causes('a')).toEqual([]);
    },
  );

  it('is believed for a minute after the replica that heard it died', async () => {
    const [one, two] = [await start(), await start(configured('a', 'b'), 'other')];
    one.drains.set('a', 'owner_hours', said('gaming'));
    await clock.advance(1);
    await one.stop();
    await clock.advance(55_000);
    expect(two.causes('a')).toEqual(['owner_hours']);
    await clock.advance(10_000);
    expect(two.causes('a')).toEqual([]);
  });

  it('comes only as maintenance or owner hours, whatever is asked', async () => {
    const bench = await start();
    bench.drains.set('a', 'operator', said('x'));
    expect(bench.causes('a')).toEqual([]);
  });

  it.each([
    { kind: 'agent_drains', entries: [{ node: 'a', cause: 'operator', drain: said('x') }] },
    { kind: 'agent_drains', entries: [{ node: 'a', cause: 'maintenance', drain: { since: 'x', note: '' } }] },
    { kind: 'agent_drains', entries: 'all' },
    { kind: 'else' },
    null,
  ])('F46: takes no word that no replica writes: %j', async (body) => {
    const bench = await start();
    await store.publish({ from: 'x', to: undefined, topic: 'documents', body });
    await clock.advance(1_000);
    expect(bench.causes('a')).toEqual([]);
  });
});

it('ten thousand drained nodes come back in one reload without deep recursion', async () => {
  const many = Array.from({ length: 10_000 }, (_, i) => `n${i}`);
  const nodes = many.map((id, i) => ({
    ...configured(id)[0],
    url: { scheme: 'http', host: `10.${i >> 8}.${i & 255}.1`, port: 1 },
  })) as NodeSpec[];
  const bench = await start(nodes);
  for (const id of many) bench.drains.set(id, 'maintenance', said('x'));
  bench.registry.configure(configured('b'));
  bench.registry.configure(nodes);
  // Fed back after 250 ms at the latest, and shown in slices.
  await clock.advance(600);
  expect(bench.status('n0')).toBe('draining');
  expect(bench.status('n9999')).toBe('draining');
}, 20_000);
