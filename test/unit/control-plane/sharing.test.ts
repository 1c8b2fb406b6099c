import { afterEach, describe, expect, it } from 'vitest';
import { createSharing, type Sharing } from '../../../src/control-plane/sharing.ts';
import { MemoryStore } from '../../../src/store/memory.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FlakyStore } from '../app/sharing/flaky-store.ts';
import { address, Workbench } from '../app/workbench.ts';
import { resident } from '../fleet/builders.ts';
import { MODEL, request } from '../routing/builders.ts';

interface Plane {
  readonly bench: Workbench;
  readonly line: FlakyStore;
  readonly sharing: Sharing;
  readonly stop: AbortController;
  readonly polling: Map<string, boolean>;
  readonly refreshed: string[];
  hasEnvoy: boolean;
  done: Promise<void>;
}

const planes: Plane[] = [];
afterEach(async () => {
  for (const { stop } of planes.splice(0)) stop.abort();
});

/** A control plane without its gRPC and its sockets. */
function plane(id: string, store: MemoryStore, clock: FakeClock): Plane {
  const bench = new Workbench({ replica: id, clock }).withNodes({ n1: [resident(MODEL)], n2: [] });
  const line = new FlakyStore(store);
  const made: Plane = {
    bench,
    line,
    stop: new AbortController(),
    polling: new Map(),
    refreshed: [],
    hasEnvoy: false,
    done: Promise.resolve(),
    sharing: createSharing({
      store: line.store,
      replica: id,
      version: '1',
      fleet: bench.fleet,
      ledger: bench.ledger,
      clock,
      random: () => 0.5,
      log: bench.log,
      recorder: () => bench.recorder,
      pollIntervalMs: () => 1_000,
      setPolling: (node, isPolling) => made.polling.set(node, isPolling),
      refreshTags: (node) => made.refreshed.push(node),
      hasEnvoy: () => made.hasEnvoy,
      waiting: () => 0,
    }),
  };
  planes.push(made);
  return made;
}

async function started(...ids: string[]) {
  const clock = new FakeClock({ now: 10_000 });
  const store = new MemoryStore(clock, { isShared: true });
  const made: Plane[] = [];
  for (const id of ids) {
    const each = plane(id, store, clock);
    await each.sharing.load();
    each.done = each.sharing.run(each.stop.signal);
    made.push(each);
  }
  await clock.advance(1_100);
  return { clock, store, made: made as [Plane, Plane] };
}

describe('a control plane beside another', () => {
  it('counts its requests, and knows who is there', async () => {
    const { clock, made } = await started('a', 'b');
    const [a, b] = made;
    a.bench.route(request());
    await clock.advance(1);
    expect(b.bench.ledger.onModel('n1', MODEL)).toBe(1);
    expect(b.sharing.replicas().map(({ id }) => id)).toEqual(['b', 'a']);
    await clock.advance(1_000);
    expect(b.sharing.report('redis')).toMatchObject({
      store: { kind: 'redis', state: 'up' },
      replicas: [
        { id: 'b', inflight: 0 },
        { id: 'a', inflight: 1 },
      ],
    });
  });

  it('learns within moments that an Envoy is there, and believes it while the other restarts', async () => {
    const { clock, made } = await started('a', 'b');
    const [a, b] = made;
    expect(b.sharing.isEnvoyElsewhere()).toBe(false);
    a.hasEnvoy = true;
    await clock.advance(1_100);
    expect(b.sharing.isEnvoyElsewhere()).toBe(true);
    a.stop.abort();
    await a.done;
    await clock.advance(10_000);
    expect(b.sharing.isEnvoyElsewhere()).toBe(true);
    await clock.advance(60_000);
    expect(b.sharing.isEnvoyElsewhere()).toBe(false);
  });

  it('polls what is its own; what its paused pollers still say is not told', async () => {
    const { clock, made } = await started('a', 'b');
    const [a, b] = made;
    expect([a.sharing.isOurs('n1'), b.sharing.isOurs('n1')]).toEqual([true, false]);
    a.sharing.polled('n1', { kind: 'version', version: '1.0.0' });
    b.sharing.polled('n1', { kind: 'version', version: '2.0.0' });
    await clock.advance(50);
    expect([a, b].map(({ bench }) => bench.fleet.nodes.get('n1')?.version)).toEqual(['1.0.0', '1.0.0']);
    expect(b.sharing.pollerOf('n1')).toBe('a');
  });

  it('takes an address that it found out itself only for want of a better one', async () => {
    const { made } = await started('a', 'b');
    const [, b] = made;
    b.sharing.polled('n1', { kind: 'address', address: '10.9.9.9:1', hosts: [] });
    expect(b.bench.fleet.nodes.get('n1')?.address).toBe(address(1));
  });

  it('asks for a tag list anew when another replica’s request found a model missing', async () => {
    const { clock, made } = await started('a', 'b');
    const [a, b] = made;
    const { id } = b.bench.route(request());
    expect(id.startsWith('b-')).toBe(true);
    b.sharing.observe('n1', {
      kind: 'attempt_failed',
      model: MODEL,
      reason: 'model_missing',
      retryAfterMs: undefined,
    });
    await clock.advance(1);
    expect([a.refreshed, b.refreshed]).toEqual([['n1'], []]);
  });

  it('F40: starts without the store, polls everything, and takes over what is known when it is there', async () => {
    const clock = new FakeClock({ now: 10_000 });
    const store = new MemoryStore(clock, { isShared: true });
    await store.putDocument('learnt', 'n1', {
      url: 'http://10.0.0.1:11434',
      savedAt: '2026-01-01T00:00:00Z',
      slots: 3,
      serviceMs: [],
      maxVramSeenBytes: 0,
    });
    const late = plane('a', store, clock);
    late.line.isUp = false;
    const loaded = late.sharing.load();
    await clock.advance(2_000);
    await loaded;
    late.done = late.sharing.run(late.stop.signal);
    expect([late.sharing.isOurs('n1'), late.sharing.isOurs('n2')]).toEqual([true, true]);
    expect(late.bench.fleet.nodes.get('n1')?.learnt.slots).toBe(1);
    late.line.isUp = true;
    await clock.advance(100);
    expect(late.bench.fleet.nodes.get('n1')?.learnt.slots).toBe(3);
  });

  it('leaves nothing behind when it ends', async () => {
    const { clock, store, made } = await started('a', 'b');
    const [a, b] = made;
    a.bench.route(request());
    await clock.advance(1);
    a.stop.abort();
    await a.done;
    await clock.advance(0);
    expect(b.bench.ledger.elsewhere.onNode('n1')).toBe(0);
    expect(await store.claimPolls('b', ['n1', 'n2'], 1_000)).toEqual(new Set(['n1', 'n2']));
    b.stop.abort();
    await b.done;
    expect(clock.pending).toBe(0);
  });
});

describe('a control plane alone', () => {
  it('asks its own memory nothing for a request, and keeps what was learnt', async () => {
    const clock = new FakeClock();
    const store = new MemoryStore(clock);
    const alone = plane('a', store, clock);
    await alone.sharing.load();
    alone.done = alone.sharing.run(alone.stop.signal);
    alone.line.asked.length = 0;
    const { id } = alone.bench.route(request());
    alone.sharing.recorder.requestEnded({
      ...{ decisionId: id, path: '/api/chat', method: 'POST', status: 200, details: '', flags: [] },
      ...{
        address: address(1),
        attempts: 1,
        firstByteMs: 1,
        totalMs: 500,
        requestBytes: 1,
        responseBytes: 1,
      },
      usage: {
        ...{ promptTokens: 1, completionTokens: 1, totalMs: 500, loadMs: 1, promptEvalMs: 100, evalMs: 390 },
        sawError: false,
      },
      end: 'complete',
    });
    alone.bench.finish(id);
    await clock.advance(1_000);
    expect(alone.line.asked).toEqual([]);
    expect(alone.sharing.isOurs('n1')).toBe(true);
    expect(alone.bench.telemetry.endings).toHaveLength(1);
    alone.stop.abort();
    await alone.done;
    expect([...(await store.documents('learnt')).keys()]).toEqual(['n1']);
  });
});
