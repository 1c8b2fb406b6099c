import { describe, expect, it } from 'vitest';
import { Fleet } from '../../../../src/app/fleet.ts';
import { LearntFigures } from '../../../../src/app/sharing/learnt-figures.ts';
import { SharedFacts } from '../../../../src/app/sharing/shared-facts.ts';
import { DEFAULT_HEALTH } from '../../../../src/fleet/params.ts';
import type { NodeSpec } from '../../../../src/fleet/types.ts';
import { MemoryStore } from '../../../../src/store/memory.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { onDisk, resident, spec } from '../../fleet/builders.ts';
import { FlakyStore } from './flaky-store.ts';

const MODEL = 'alpha:latest';

/** One replica's view. Its monotonic clock and its wall clock are its own. */
function replica(
  store: MemoryStore,
  clock: FakeClock,
  nodes: readonly NodeSpec[] = [spec('n1'), spec('n2')],
) {
  const line = new FlakyStore(store);
  const fleet = new Fleet(nodes, DEFAULT_HEALTH, clock);
  const isOurs = () => true;
  const facts = new SharedFacts({ store: line.store, fleet, clock, isOurs });
  const learnt = new LearntFigures({ store: line.store, fleet, clock, isOurs });
  return { line, fleet, facts, learnt, record: (id = 'n1') => fleet.nodes.get(id) };
}

function see({ fleet }: { fleet: Fleet }): void {
  fleet.observe('n1', { kind: 'address', address: '10.0.0.1:11434', hosts: [] });
  fleet.observe('n1', { kind: 'tags', models: [onDisk(MODEL)], rttMs: 2 });
  fleet.observe('n1', { kind: 'resident', models: [resident(MODEL)], rttMs: 2 });
  fleet.observe('n1', { kind: 'version', version: '0.24.0' });
  fleet.observe('n2', { kind: 'poll_failed', reason: 'refused', detail: 'nobody there' });
  fleet.observe('n2', { kind: 'poll_failed', reason: 'refused', detail: 'nobody there' });
}

describe('facts of nodes', () => {
  it('F47: let a replica that starts later begin where the others are, whatever its clocks show', async () => {
    const clock = new FakeClock({ now: 100_000 });
    const store = new MemoryStore(clock, { isShared: true });
    const early = replica(store, clock);
    const stop = new AbortController();
    const running = early.facts.run(stop.signal);
    see(early);
    await clock.advance(1_000);
    stop.abort();
    await running;
    await clock.advance(4_000);

    // The late one's monotonic clock began elsewhere; only the store's says how old the facts are.
    const lateClock = new FakeClock({ now: 7, date: new Date('1999-01-01T00:00:00Z') });
    const late = replica(store, lateClock);
    await late.facts.load();
    expect(late.record()).toMatchObject({ address: '10.0.0.1:11434', version: '0.24.0', rttMs: 2 });
    expect(late.record()?.health.status).toBe('ready');
    expect([...(late.record()?.models.keys() ?? [])]).toEqual([MODEL]);
    expect([...(late.record()?.resident.keys() ?? [])]).toEqual([MODEL]);
    expect(late.record()?.seenAt.resident).toBe(7 - 5_000);
    expect(late.record('n2')?.health).toMatchObject({
      status: 'down',
      flaps: 1,
      lastFailure: { reason: 'refused' },
    });
  });

  it('are written when something has changed, at most once a second, and not when nothing has', async () => {
    const clock = new FakeClock();
    const early = replica(new MemoryStore(clock, { isShared: true }), clock);
    const stop = new AbortController();
    void early.facts.run(stop.signal);
    const writes = () => early.line.asked.filter((command) => command === 'saveNodes').length;
    see(early);
    await clock.advance(1_000);
    expect(writes()).toBe(1);
    for (let i = 0; i < 10; i++) {
      early.fleet.observe('n1', {
        kind: 'resident',
        models: [resident(MODEL, { expiresAt: `${i}` })],
        rttMs: 2,
      });
      await clock.advance(1_000);
    }
    expect(writes()).toBe(1);
    early.fleet.observe('n1', { kind: 'resident', models: [], rttMs: 2 });
    early.fleet.observe('n1', { kind: 'resident', models: [resident('beta:7b')], rttMs: 2 });
    await clock.advance(1_000);
    expect(writes()).toBe(2);
    stop.abort();
  });

  it('count for less than what was seen here, and for nothing at another URL', async () => {
    const clock = new FakeClock({ now: 50_000 });
    const store = new MemoryStore(clock, { isShared: true });
    const early = replica(store, clock);
    const stop = new AbortController();
    void early.facts.run(stop.signal);
    see(early);
    await clock.advance(1_000);
    stop.abort();
    const seen = replica(store, clock);
    seen.fleet.observe('n1', { kind: 'resident', models: [], rttMs: 1 });
    await seen.facts.load();
    expect(seen.record()?.resident.size).toBe(0);
    const moved = replica(store, clock, [spec('n1', { url: { scheme: 'http', host: '10.0.0.9', port: 1 } })]);
    await moved.facts.load();
    expect(moved.record()?.health.status).toBe('unknown');
  });

  it('F46: are ignored when they are not what we write', async () => {
    const clock = new FakeClock();
    const store = new MemoryStore(clock, { isShared: true });
    await store.saveNodes(
      [{ id: 'n1', facts: { url: 'http://10.0.0.1:11434', facts: { resident: 5 } } }],
      1_000,
    );
    await store.putDocument('learnt', 'n1', { slots: 1e9 });
    const late = replica(store, clock);
    await late.facts.load();
    await late.learnt.load();
    expect(late.record()).toMatchObject({ health: { status: 'unknown' }, learnt: { slots: 1 } });
  });
});

describe('what was learnt of nodes', () => {
  it('outlives the process, and the figures of this one come first', async () => {
    const clock = new FakeClock();
    const store = new MemoryStore(clock);
    const before = replica(store, clock);
    const stop = new AbortController();
    const running = before.learnt.run(stop.signal);
    before.fleet.restore('n1', (record) => ({
      ...record,
      learnt: {
        ...record.learnt,
        slots: 4,
        loadBytesPerSecond: 2e9,
        serviceMs: new Map([[MODEL, 800]]),
        maxVramSeenBytes: 7e9,
      },
    }));
    stop.abort();
    await running;
    const after = replica(store, clock);
    after.fleet.restore('n1', (record) => ({
      ...record,
      learnt: { ...record.learnt, maxVramSeenBytes: 9e9 },
    }));
    await after.learnt.load();
    expect(after.record()?.learnt).toMatchObject({
      slots: 4,
      loadBytesPerSecond: 2e9,
      serviceMs: new Map([[MODEL, 800]]),
      maxVramSeenBytes: 9e9,
    });
    const moved = replica(store, clock, [spec('n1', { url: { scheme: 'http', host: '10.0.0.9', port: 1 } })]);
    await moved.learnt.load();
    expect(moved.record()?.learnt.slots).toBe(1);
  });

  it('is written when it has changed, and not again and again', async () => {
    const clock = new FakeClock();
    const before = replica(new MemoryStore(clock), clock);
    const stop = new AbortController();
    void before.learnt.run(stop.signal);
    before.fleet.observe('n1', { kind: 'resident', models: [resident(MODEL)], rttMs: 2 });
    await clock.advance(120_000);
    expect(before.line.asked).toEqual(['putDocument']);
    stop.abort();
  });

  it('of nodes that have not been seen for a month is forgotten', async () => {
    const clock = new FakeClock({ date: new Date('2026-03-01T00:00:00Z') });
    const store = new MemoryStore(clock);
    const old = { url: 'http://x:1', slots: 2, serviceMs: [], maxVramSeenBytes: 0 };
    await store.putDocument('learnt', 'gone', { ...old, savedAt: '2026-01-01T00:00:00Z' });
    await store.putDocument('learnt', 'away', { ...old, savedAt: '2026-02-25T00:00:00Z' });
    await replica(store, clock).learnt.load();
    expect([...(await store.documents('learnt')).keys()]).toEqual(['away']);
  });
});
