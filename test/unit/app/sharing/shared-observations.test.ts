import { afterEach, describe, expect, it } from 'vitest';
import { Fleet } from '../../../../src/app/fleet.ts';
import { SharedObservations } from '../../../../src/app/sharing/shared-observations.ts';
import { DEFAULT_HEALTH } from '../../../../src/fleet/params.ts';
import type { NodeId, Observation, ServiceTimes } from '../../../../src/fleet/types.ts';
import type { StoreMessage } from '../../../../src/store/contract.ts';
import { MemoryStore } from '../../../../src/store/memory.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { onDisk, resident, spec } from '../../fleet/builders.ts';
import { FlakyStore } from './flaky-store.ts';

const MODEL = 'alpha:latest';
const SERVICE: ServiceTimes = {
  concurrency: 1,
  wasWarm: true,
  firstByteMs: 10,
  totalMs: 500,
  loadMs: 1,
  promptEvalMs: 100,
  evalMs: 390,
  promptTokens: undefined,
  completionTokens: 40,
};

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function two() {
  const clock = new FakeClock({ now: 5_000 });
  const store = new MemoryStore(clock, { isShared: true });
  const messages: StoreMessage[] = [];
  store.subscribe('spy', (message) => messages.push(message));
  const replica = (id: string, other: string) => {
    const line = new FlakyStore(store);
    const fleet = new Fleet([spec('n1'), spec('n2')], DEFAULT_HEALTH, clock);
    const polled: string[] = [];
    const heard: [NodeId, Observation][] = [];
    const observations = new SharedObservations({
      store: line.store,
      replica: id,
      fleet,
      clock,
      onPolledElsewhere: (node, by) => polled.push(`${node} by ${by}`),
      onHeard: (node, observation) => heard.push([node, observation]),
    });
    observations.start();
    observations.setOthers([other]);
    cleanups.push(() => observations.stop());
    const record = (node = 'n1') => {
      const found = fleet.nodes.get(node);
      if (found === undefined) throw new Error('no such node');
      return found;
    };
    return { line, fleet, polled, heard, observations, record };
  };
  return { clock, store, messages, a: replica('a', 'b'), b: replica('b', 'a') };
}

const RESIDENT: Observation = { kind: 'resident', models: [resident(MODEL)], rttMs: 2 };
const TAGS: Observation = { kind: 'tags', models: [onDisk(MODEL), onDisk('beta:7b')], rttMs: 3 };

describe('what one replica sees of a node', () => {
  it('is known to the other 50 ms later, and makes the same of it', async () => {
    const { clock, a, b } = two();
    const seen: Observation[] = [
      { kind: 'address', address: '10.0.0.1:11434', hosts: ['10.0.0.1'] },
      RESIDENT,
      TAGS,
      { kind: 'version', version: '0.24.0' },
      { kind: 'attempt_served', model: MODEL, service: SERVICE },
    ];
    for (const observation of seen) a.observations.observe('n1', observation);
    await clock.advance(50);
    const [mine, theirs] = [a.record(), b.record()];
    expect(theirs.health.status).toBe('ready');
    expect(theirs.address).toBe('10.0.0.1:11434');
    expect([...theirs.models.values()]).toEqual([...mine.models.values()]);
    expect([...theirs.resident.values()]).toEqual([...mine.resident.values()]);
    expect([theirs.version, theirs.rttMs]).toEqual([mine.version, mine.rttMs]);
    expect(theirs.learnt).toEqual(mine.learnt);
    expect(b.polled).toContain('n1 by a');
  });

  it('includes what a request was like and what a model can do', async () => {
    const { clock, a, b } = two();
    const service: ServiceTimes = {
      ...SERVICE,
      isWork: true,
      numCtx: 8_192,
      promptBytes: 900,
      cachedBytes: 0,
      servedBeside: 0,
      besideOthers: 0,
      endedAt: 1.8e12,
      promptTokens: 200,
      prefixes: [{ hash: 12_345, bytes: 700 }],
    };
    a.observations.observe('n1', TAGS);
    a.observations.observe('n1', { kind: 'attempt_served', model: MODEL, service });
    const digest = onDisk(MODEL).digest;
    a.observations.observe('n1', {
      kind: 'capabilities',
      digest,
      capabilities: ['vision'],
      trainedContext: 8_192,
    });
    await clock.advance(50);
    expect(b.record().learnt).toEqual(a.record().learnt);
    expect(b.heard.find(([, { kind }]) => kind === 'attempt_served')?.[1]).toEqual({
      kind: 'attempt_served',
      model: MODEL,
      service,
    });
    expect(b.record().models.get(MODEL)).toMatchObject({ capabilities: ['vision'], trainedContext: 8_192 });
    // A later look at the list, which says nothing of that, changes nothing.
    a.observations.observe('n1', TAGS);
    await clock.advance(50);
    expect(b.record().models.get(MODEL)?.capabilities).toEqual(['vision']);
  });

  it('tells of failures at once', async () => {
    const { clock, a, b } = two();
    a.observations.observe('n1', { kind: 'poll_failed', reason: 'refused', detail: 'nobody there' });
    a.observations.observe('n1', {
      kind: 'attempt_failed',
      model: MODEL,
      reason: 'refused',
      retryAfterMs: undefined,
    });
    await clock.advance(1);
    expect(b.record().health).toMatchObject({ status: 'down', lastFailure: { reason: 'refused' } });
    expect(b.heard.map(([, { kind }]) => kind)).toEqual(['poll_failed', 'attempt_failed']);
  });

  it('sends a list of models once; later that it is the same', async () => {
    const { clock, a, b, messages } = two();
    a.observations.observe('n1', TAGS);
    await clock.advance(50);
    const first = JSON.stringify(messages).length;
    messages.length = 0;
    await clock.advance(10_000);
    a.observations.observe('n1', TAGS);
    await clock.advance(50);
    expect(JSON.stringify(messages).length).toBeLessThan(first / 2);
    expect(b.record().seenAt.tags).toBe(15_100);
    expect(b.record().models.size).toBe(2);
    a.observations.observe('n1', { kind: 'tags', models: [onDisk(MODEL)], rttMs: 1 });
    await clock.advance(50);
    expect(b.record().models.size).toBe(1);
  });

  it('reaches in full whoever comes between two looks at the models on disk', async () => {
    const { clock, a, b } = two();
    b.line.isLost = () => true;
    a.observations.observe('n1', RESIDENT);
    a.observations.observe('n1', TAGS);
    await clock.advance(50);
    b.line.isLost = () => false;
    // As a newcomer makes it.
    a.observations.setOthers(['b', 'c']);
    a.observations.observe('n1', RESIDENT);
    await clock.advance(200);
    expect([...b.record().models.keys()].sort()).toEqual([MODEL, 'beta:7b']);
  });

  it('is asked for again by whoever missed a list', async () => {
    const { clock, a, b } = two();
    b.line.isLost = () => true;
    a.observations.observe('n1', RESIDENT);
    await clock.advance(50);
    b.line.isLost = () => false;
    expect(b.record().resident.size).toBe(0);
    // The next poll says "the same", b asks, the one after brings it.
    for (let poll = 0; poll < 2; poll++) {
      a.observations.observe('n1', RESIDENT);
      await clock.advance(1_000);
    }
    expect(b.record().resident.size).toBe(1);
  });

  it('is sent in full again after a failure of the store, and to a replica that joins', async () => {
    const { clock, a, b } = two();
    a.line.isUp = false;
    a.observations.observe('n1', RESIDENT);
    await clock.advance(50);
    a.line.isUp = true;
    a.observations.observe('n1', RESIDENT);
    await clock.advance(50);
    expect(b.record().resident.size).toBe(1);
  });

  it('stays here where nobody else is', async () => {
    const { clock, a, messages } = two();
    a.observations.setOthers([]);
    a.observations.observe('n1', RESIDENT);
    await clock.advance(1_000);
    expect(messages).toEqual([]);
    expect(a.record().resident.size).toBe(1);
  });

  it('travels in messages that the store takes, however many models there are', async () => {
    const { clock, a, b, messages } = two();
    const many = Array.from({ length: 900 }, (_, i) => onDisk(`model-${i}:latest`));
    for (const node of ['n1', 'n2']) a.observations.observe(node, { kind: 'tags', models: many, rttMs: 1 });
    await clock.advance(50);
    expect(messages.map((message) => JSON.stringify(message).length < 1024 * 1024)).toEqual([true, true]);
    expect([b.record('n1').models.size, b.record('n2').models.size]).toEqual([900, 900]);
  });

  it('F46: what nobody of ours wrote changes nothing', async () => {
    const { clock, store, b } = two();
    const before = b.record();
    const bad = [
      undefined,
      { news: 'all' },
      { news: [['n1', { kind: 'resident', models: [{ key: 1 }], rttMs: 1, revision: 'x' }]] },
      { news: [['n1', { kind: 'poll_failed', reason: 'because', detail: '' }]] },
      { news: [['n1', { kind: 'tags', models: [], rttMs: -5, revision: 'x' }]] },
      { news: [['n1', { kind: 'drains', drains: {} }]] },
      { news: [['unknown', { kind: 'version', version: '1' }]] },
    ];
    for (const body of bad) await store.publish({ from: 'a', to: undefined, topic: 'observations', body });
    await clock.advance(1);
    expect(b.record()).toBe(before);
  });
});
