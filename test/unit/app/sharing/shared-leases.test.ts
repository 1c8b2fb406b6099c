import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { SharedLeases } from '../../../../src/app/sharing/shared-leases.ts';
import { LeaseLedger } from '../../../../src/fleet/ledger.ts';
import type { ReplicaInfo } from '../../../../src/store/contract.ts';
import { MemoryStore } from '../../../../src/store/memory.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { FlakyStore } from './flaky-store.ts';

const MODEL = 'alpha:latest';
const QUIET_MS = 5_000;

class Replica {
  readonly ledger = new LeaseLedger();
  readonly line: FlakyStore;
  readonly leases: SharedLeases;
  readonly stop = new AbortController();
  live: readonly ReplicaInfo[] = [];
  done: Promise<void> = Promise.resolve();
  readonly #clock: FakeClock;

  constructor(id: string, store: MemoryStore, clock: FakeClock) {
    this.#clock = clock;
    this.line = new FlakyStore(store);
    this.leases = new SharedLeases({
      store: this.line.store,
      replica: id,
      ledger: this.ledger,
      clock,
      info: () => ({
        id,
        version: '1',
        startedAt: '',
        inflight: this.ledger.size,
        waiting: 0,
        hasEnvoy: false,
      }),
      onReplicas: (live) => {
        this.live = live;
      },
    });
  }

  start(): this {
    this.done = this.leases.run(this.stop.signal);
    return this;
  }

  take(id: string, node: string, model = MODEL): void {
    this.ledger.take(id, node, model, this.#clock.now());
  }

  /** What it believes of the others. */
  elsewhere(node: string): number {
    return this.ledger.elsewhere.onNode(node);
  }
}

const running: Replica[] = [];
afterEach(async () => {
  for (const replica of running.splice(0)) replica.stop.abort();
});

async function replicas(...ids: string[]) {
  const clock = new FakeClock();
  const store = new MemoryStore(clock, { isShared: true });
  const made = ids.map((id) => new Replica(id, store, clock).start());
  running.push(...made);
  await clock.advance(2_000);
  return { clock, store, made: made as [Replica, Replica, ...Replica[]] };
}

describe('a lease', () => {
  it('is known to the other replicas a millisecond later, wherever it goes', async () => {
    const { clock, made } = await replicas('a', 'b');
    const [a, b] = made;
    a.take('a-1', 'n1');
    a.take('a-2', 'n1', '');
    await clock.advance(1);
    expect([b.elsewhere('n1'), b.ledger.onModel('n1', MODEL), a.elsewhere('n1')]).toEqual([2, 1, 0]);
    a.ledger.move('a-1', 'n2');
    await clock.advance(1);
    expect([b.elsewhere('n1'), b.elsewhere('n2')]).toEqual([1, 1]);
    a.ledger.release('a-1');
    a.ledger.release('a-2');
    await clock.advance(1);
    expect([b.elsewhere('n1'), b.elsewhere('n2')]).toEqual([0, 0]);
  });

  it('travels with all that changed beside it, in one command', async () => {
    const { clock, made } = await replicas('a', 'b');
    const [a, b] = made;
    a.line.asked.length = 0;
    for (let i = 0; i < 200; i++) a.take(`a-${i}`, 'n1');
    for (let i = 0; i < 50; i++) a.ledger.release(`a-${i}`);
    await clock.advance(1);
    expect(a.line.asked).toEqual(['changeLeases']);
    expect(b.elsewhere('n1')).toBe(150);
  });

  it('outlives any number of heartbeats, and not its replica', async () => {
    const { clock, made } = await replicas('a', 'b');
    const [a, b] = made;
    a.take('a-1', 'n1');
    await clock.advance(600_000);
    expect(b.elsewhere('n1')).toBe(1);
    a.line.isUp = false;
    await clock.advance(QUIET_MS);
    expect(b.elsewhere('n1')).toBe(0);
    expect(b.live.map(({ id }) => id)).toEqual(['b']);
  });

  it('ends at once where its replica ends in order', async () => {
    const { clock, made } = await replicas('a', 'b');
    const [a, b] = made;
    a.take('a-1', 'n1');
    await clock.advance(1);
    a.stop.abort();
    await a.done;
    await clock.advance(0);
    expect(b.elsewhere('n1')).toBe(0);
  });
});

describe('a store that fails', () => {
  it('loses nothing for good: all is told anew when it is back', async () => {
    const { clock, made } = await replicas('a', 'b');
    const [a, b] = made;
    a.take('a-1', 'n1');
    await clock.advance(1);
    a.line.isUp = false;
    a.ledger.release('a-1');
    a.take('a-2', 'n2');
    await clock.advance(1_500);
    expect([b.elsewhere('n1'), b.elsewhere('n2')]).toEqual([1, 0]);
    a.line.isUp = true;
    await clock.advance(1);
    expect([b.elsewhere('n1'), b.elsewhere('n2')]).toEqual([0, 1]);
  });

  it('is not asked to remember what changes while it is down', async () => {
    const { clock, made } = await replicas('a', 'b');
    const [a] = made;
    a.line.isUp = false;
    await clock.advance(1_500);
    a.line.asked.length = 0;
    for (let i = 0; i < 1_000; i++) a.take(`a-${i}`, 'n1');
    await clock.advance(500);
    expect(a.line.asked).not.toContain('changeLeases');
  });

  it('is told again of a move that got lost, although the number of leases is right', async () => {
    const { clock, made } = await replicas('a', 'b');
    const [a, b] = made;
    a.take('a-1', 'n1');
    await clock.advance(1);
    a.line.fault = (command) => (command === 'changeLeases' ? 'before' : undefined);
    a.ledger.move('a-1', 'n2');
    await clock.advance(1);
    a.line.fault = () => undefined;
    await clock.advance(1_100);
    expect([b.elsewhere('n1'), b.elsewhere('n2')]).toEqual([0, 1]);
  });

  it('that has forgotten everything is told everything within a heartbeat', async () => {
    const { clock, store, made } = await replicas('a', 'b');
    const [a, b] = made;
    a.take('a-1', 'n1');
    b.take('b-1', 'n2');
    await clock.advance(1);
    await store.replaceLeases('a', []);
    await store.replaceLeases('b', []);
    await clock.advance(0);
    expect([a.elsewhere('n2'), b.elsewhere('n1')]).toEqual([0, 0]);
    await clock.advance(1_100);
    expect([a.elsewhere('n2'), b.elsewhere('n1')]).toEqual([1, 1]);
  });

  it('F47: silent for longer than a replica lives, its old counts of the others end', async () => {
    const { clock, made } = await replicas('a', 'b');
    const [a, b] = made;
    b.take('b-1', 'n1');
    await clock.advance(1);
    a.line.isUp = false;
    await clock.advance(1_000);
    expect(a.elsewhere('n1')).toBe(1);
    await clock.advance(QUIET_MS);
    expect(a.elsewhere('n1')).toBe(0);
    expect(a.live.map(({ id }) => id)).toEqual(['a']);
  });

  it('F46: messages that nobody of ours wrote change nothing', async () => {
    const { clock, store, made } = await replicas('a', 'b');
    const [a] = made;
    const bodies = [null, 'x', {}, { isAll: true, counts: [['n1', MODEL]] }, { isAll: false, counts: 'n1' }];
    for (const body of bodies) await store.publish({ from: 'b', to: undefined, topic: 'leases', body });
    await clock.advance(0);
    expect(a.elsewhere('n1')).toBe(0);
  });
});

describe('G12 F48: after any chaos and a quiet while', () => {
  const IDS = ['a', 'b', 'c'];
  const NODES = ['n1', 'n2'];
  const who = fc.nat(2);
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant('take' as const), who, lease: fc.nat(9), node: fc.nat(1) }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('move' as const), who, lease: fc.nat(9), node: fc.nat(1) }),
    },
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('release' as const), who, lease: fc.nat(9) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(4_000) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('line' as const), who, isUp: fc.boolean() }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('fault' as const),
        who,
        fault: fc.constantFrom('before' as const, 'after' as const, undefined),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('lose' as const), who, isLost: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('flush' as const), who }) },
  );

  it('every replica counts what the others run, exactly, and nothing is ever negative', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const { clock, store, made } = await replicas(...IDS);
        const of = (index: number) => made[index] as Replica;
        for (const each of steps) {
          if (each.kind === 'pass') await clock.advance(each.ms);
          else if (each.kind === 'take')
            of(each.who).take(`${IDS[each.who]}-${each.lease}`, NODES[each.node] as string);
          else if (each.kind === 'move')
            of(each.who).ledger.move(`${IDS[each.who]}-${each.lease}`, NODES[each.node] as string);
          else if (each.kind === 'release') of(each.who).ledger.release(`${IDS[each.who]}-${each.lease}`);
          else if (each.kind === 'line') of(each.who).line.isUp = each.isUp;
          else if (each.kind === 'fault') of(each.who).line.fault = () => each.fault;
          else if (each.kind === 'lose') of(each.who).line.isLost = () => each.isLost;
          else await store.replaceLeases(IDS[each.who] as string, []);
          for (const replica of made)
            for (const node of NODES) expect(replica.elsewhere(node)).toBeGreaterThanOrEqual(0);
        }
        for (const { line } of made) {
          line.isUp = true;
          line.fault = () => undefined;
          line.isLost = () => false;
        }
        await clock.advance(QUIET_MS);
        for (const replica of made) {
          for (const node of NODES) {
            const truth = made
              .filter((other) => other !== replica)
              .reduce((sum, other) => sum + other.ledger.onNode(node) - other.elsewhere(node), 0);
            expect(replica.elsewhere(node)).toBe(truth);
          }
        }
        for (const replica of made) replica.stop.abort();
        await Promise.all(made.map(({ done }) => done));
        running.length = 0;
      }),
      { numRuns: 60 },
    );
  });
});
