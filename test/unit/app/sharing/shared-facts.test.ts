import { describe, expect, it } from 'vitest';
import { Fleet } from '../../../../src/app/fleet.ts';
import { figuresDocument, writeFigures } from '../../../../src/app/sharing/figures-document.ts';
import { LearntFigures } from '../../../../src/app/sharing/learnt-figures.ts';
import { SharedFacts } from '../../../../src/app/sharing/shared-facts.ts';
import { anyContextKey } from '../../../../src/fleet/figures-key.ts';
import { DEFAULT_HEALTH } from '../../../../src/fleet/params.ts';
import type { NodeSpec, Observation, ServiceTimes } from '../../../../src/fleet/types.ts';
import { MAX_VALUE_BYTES } from '../../../../src/store/limits.ts';
import { MemoryStore } from '../../../../src/store/memory.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { NodeLife, onDisk, resident, service, spec } from '../../fleet/builders.ts';
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
  const served = (fields: Partial<ServiceTimes> = {}): Observation => ({
    kind: 'attempt_served',
    model: MODEL,
    service: service({ endedAt: Date.parse('2026-05-01T00:00:00Z'), ...fields }),
  });

  it('outlives the process, and the figures of this one come first', async () => {
    const clock = new FakeClock({ date: new Date('2026-05-01T00:01:00Z') });
    const store = new MemoryStore(clock);
    const before = replica(store, clock);
    const stop = new AbortController();
    const running = before.learnt.run(stop.signal);
    before.fleet.observe('n1', { kind: 'tags', models: [onDisk(MODEL)], rttMs: 2 });
    before.fleet.observe('n1', { kind: 'resident', models: [resident(MODEL)], rttMs: 2 });
    before.fleet.observe('n1', served({ wasWarm: false, loadMs: 4_000 }));
    for (let i = 1; i < 4; i += 1)
      before.fleet.observe('n1', served({ concurrency: i + 1, servedBeside: i, promptBytes: 80 }));
    stop.abort();
    await running;
    const after = replica(store, clock);
    after.fleet.restore('n1', (record) => ({
      ...record,
      learnt: { ...record.learnt, maxVramSeenBytes: 9e9 },
    }));
    after.fleet.observe('n1', served({ numCtx: 65_536 }));
    const own = after.record()?.learnt.figures;
    await after.learnt.load();
    const { learnt } = before.record() ?? {};
    const { learnt: loaded } = after.record() ?? {};
    expect(loaded).toMatchObject({ slots: 4, maxVramSeenBytes: 9e9 });
    expect(loaded?.loadBytesPerSecond).toBe(learnt?.loadBytesPerSecond);
    expect(loaded?.figures.get(MODEL)).toMatchObject({ slots: 4, defaultContext: 4_096 });
    expect(loaded?.figures.get(MODEL)?.loadMs?.value).toBe(4_000);
    expect(loaded?.figures.get(MODEL)?.answerRates.map((rate) => rate?.value)).toEqual(
      learnt?.figures.get(MODEL)?.answerRates.map((rate) => rate?.value),
    );
    const [bucket] = [...(own?.keys() ?? [])].slice(-1);
    expect(loaded?.figures.get(bucket ?? '')).toEqual(own?.get(bucket ?? ''));
    const moved = replica(store, clock, [spec('n1', { url: { scheme: 'http', host: '10.0.0.9', port: 1 } })]);
    await moved.learnt.load();
    expect(moved.record()?.learnt).toMatchObject({ slots: 1, figures: new Map() });
  });

  it('of earlier versions still counts', async () => {
    const clock = new FakeClock();
    const store = new MemoryStore(clock);
    await store.putDocument('learnt', 'n1', {
      url: 'http://10.0.0.1:11434',
      savedAt: '2026-01-01T00:00:00Z',
      slots: 2,
      loadBytesPerSecond: 2e9,
      serviceMs: [[MODEL, 800]],
      maxVramSeenBytes: 7e9,
    });
    const late = replica(store, clock);
    await late.learnt.load();
    expect(late.record()?.learnt).toMatchObject({ slots: 2, loadBytesPerSecond: 2e9, maxVramSeenBytes: 7e9 });
    expect(late.record()?.learnt.figures.get(anyContextKey(MODEL))?.heldMs).toMatchObject({
      value: 800,
      weight: 1,
    });
  });

  it('F46: is bounded, from the future no longer than now, and ignored where it is not what we write', async () => {
    const clock = new FakeClock({ date: new Date('2026-05-01T00:00:00Z') });
    const store = new MemoryStore(clock);
    const known = {
      url: 'http://10.0.0.1:11434',
      savedAt: '2026-01-01T00:00:00Z',
      slots: 1,
      maxVramSeenBytes: 0,
    };
    const heldMs = [800, 1, 5, 9e14];
    await store.putDocument('learnt', 'n1', {
      ...known,
      figures: [{ key: MODEL, heldMs, promptRate: [0, 0, 5, 0] }],
    });
    await store.putDocument('learnt', 'n2', { ...known, figures: [{ key: MODEL, heldMs: [-1, 1, 5, 0] }] });
    const late = replica(store, clock);
    await late.learnt.load();
    const figures = late.record()?.learnt.figures.get(MODEL);
    expect(figures?.heldMs?.at).toBe(Date.parse('2026-05-01T00:00:00Z'));
    expect(figures?.promptRate).toBeUndefined();
    expect(late.record('n2')?.learnt.figures.size).toBe(0);
  });

  it('of a node with many models with long names stays small enough to be stored', () => {
    const node = new NodeLife();
    for (let i = 0; i < 300; i += 1) {
      for (let beside = 0; beside < 16; beside += 1)
        node.served({ concurrency: beside + 1, servedBeside: beside }, `${'m'.repeat(500)}${i}:latest`);
    }
    const document = writeFigures(node.record.learnt.figures);
    expect(figuresDocument.safeParse(JSON.parse(JSON.stringify(document))).success).toBe(true);
    expect(JSON.stringify(document).length).toBeLessThan(MAX_VALUE_BYTES / 2);
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
