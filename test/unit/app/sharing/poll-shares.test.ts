import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { PollShares } from '../../../../src/app/sharing/poll-shares.ts';
import { MemoryStore } from '../../../../src/store/memory.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { FlakyStore } from './flaky-store.ts';

const INTERVAL_MS = 1_000;
const SETTLE_MS = 20_000;

/** A replica that polls what is its own, and tells the others of each poll. */
class Poller {
  readonly line: FlakyStore;
  readonly shares: PollShares;
  readonly polling = new Set<string>();
  readonly stop = new AbortController();
  readonly id: string;
  done: Promise<void> = Promise.resolve();

  constructor(id: string, store: MemoryStore, clock: FakeClock, nodes: () => readonly string[]) {
    this.id = id;
    this.line = new FlakyStore(store);
    this.shares = new PollShares({
      store: this.line.store,
      replica: id,
      clock,
      random: () => 0.5,
      intervalMs: () => INTERVAL_MS,
      nodes,
      onChange: (node, isOurs) => {
        if (isOurs) this.polling.add(node);
        else this.polling.delete(node);
      },
    });
  }

  get isRunning(): boolean {
    return !this.stop.signal.aborted;
  }
}

class Scene {
  readonly clock = new FakeClock();
  readonly store = new MemoryStore(this.clock, { isShared: true });
  readonly pollers: Poller[] = [];
  /** Longest time that each node was asked by nobody. */
  readonly gaps = new Map<string, number>();
  readonly #polledAt = new Map<string, number>();
  nodes: string[];

  constructor(nodes: number) {
    this.nodes = Array.from({ length: nodes }, (_, i) => `n${i}`);
  }

  join(id: string): Poller {
    const poller = new Poller(id, this.store, this.clock, () => this.nodes);
    this.pollers.push(poller);
    this.#count();
    poller.done = poller.shares.run(poller.stop.signal);
    return poller;
  }

  /** Dies without a word. */
  kill(poller: Poller): void {
    poller.line.isUp = false;
    poller.stop.abort();
    this.pollers.splice(this.pollers.indexOf(poller), 1);
  }

  /** Time passes, in which everybody polls its own and is told of the others' polls, and of who is alive. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += INTERVAL_MS / 4) {
      await this.clock.advance(INTERVAL_MS / 4);
      for (const poller of this.pollers) {
        for (const node of poller.polling) {
          this.#polledAt.set(node, this.clock.now());
          for (const other of this.pollers)
            if (other !== poller && other.line.store.state === 'up' && poller.line.store.state === 'up')
              other.shares.polledElsewhere(node, poller.id);
        }
      }
      for (const node of this.nodes) {
        const gap = this.clock.now() - (this.#polledAt.get(node) ?? this.clock.now());
        this.gaps.set(node, Math.max(gap, this.gaps.get(node) ?? 0));
      }
      if (passed % 1_000 === 0) this.#count();
    }
  }

  /** How many replicas poll each node. */
  pollersOf(): number[] {
    return this.nodes.map((node) => this.pollers.filter(({ polling }) => polling.has(node)).length);
  }

  #count(): void {
    for (const { shares } of this.pollers) shares.setReplicas(this.pollers.length);
  }
}

const scenes: Scene[] = [];
function scene(nodes: number): Scene {
  const made = new Scene(nodes);
  scenes.push(made);
  return made;
}
afterEach(() => {
  for (const { pollers } of scenes.splice(0)) for (const poller of pollers) poller.stop.abort();
});

describe('polls that replicas share', () => {
  it('all fall to the first at once, and fairly to those that join', async () => {
    const it = scene(10);
    const a = it.join('a');
    await it.pass(500);
    expect(a.polling.size).toBe(10);
    const b = it.join('b');
    const c = it.join('c');
    await it.pass(SETTLE_MS);
    expect([a, b, c].map(({ polling }) => polling.size).sort()).toEqual([3, 3, 4]);
    expect(it.pollersOf()).toEqual(it.nodes.map(() => 1));
  });

  it('go on without a gap while they are handed over', async () => {
    const it = scene(10);
    it.join('a');
    await it.pass(6_000);
    it.gaps.clear();
    it.join('b');
    await it.pass(SETTLE_MS);
    expect(Math.max(...it.gaps.values())).toBeLessThanOrEqual(2 * INTERVAL_MS);
  });

  it('are handed over gently: never more than a part at once', async () => {
    const it = scene(100);
    const a = it.join('a');
    await it.pass(10_000);
    it.join('b');
    const sizes: number[] = [a.polling.size];
    for (let i = 0; i < 40; i++) {
      await it.pass(250);
      sizes.push(a.polling.size);
    }
    const steps = sizes.slice(1).map((size, i) => (sizes[i] ?? 0) - size);
    expect(Math.max(...steps)).toBeLessThanOrEqual(17);
    expect(a.polling.size).toBe(50);
  });

  it('of a replica that dies are taken over within two intervals', async () => {
    const it = scene(10);
    it.join('a');
    const b = it.join('b');
    await it.pass(SETTLE_MS);
    it.gaps.clear();
    it.kill(b);
    await it.pass(10_000);
    expect(Math.max(...it.gaps.values())).toBeLessThanOrEqual(2 * INTERVAL_MS);
    expect(it.pollersOf()).toEqual(it.nodes.map(() => 1));
  });

  it('are everybody’s while the store does not answer, and shared again when it does', async () => {
    const it = scene(10);
    const [a, b] = [it.join('a'), it.join('b')];
    await it.pass(SETTLE_MS);
    it.gaps.clear();
    a.line.isUp = false;
    b.line.isUp = false;
    await it.pass(5_000);
    expect([a.polling.size, b.polling.size]).toEqual([10, 10]);
    a.line.isUp = true;
    b.line.isUp = true;
    await it.pass(SETTLE_MS);
    expect([a.polling.size, b.polling.size]).toEqual([5, 5]);
    expect(it.pollersOf()).toEqual(it.nodes.map(() => 1));
    expect(Math.max(...it.gaps.values())).toBeLessThanOrEqual(2 * INTERVAL_MS);
  });

  it('stay with whom they are where somebody else wants none, but for a try a minute', async () => {
    const it = scene(4);
    const a = it.join('a');
    await it.pass(6_000);
    a.shares.setReplicas(2);
    let handedOver = 0;
    for (let second = 0; second < 120; second += 1) {
      const before = a.polling.size;
      a.shares.setReplicas(2);
      await it.pass(750);
      a.shares.setReplicas(2);
      await it.pass(250);
      handedOver += Math.max(0, before - a.polling.size);
    }
    expect(handedOver).toBeLessThanOrEqual(8);
    expect(a.polling.size).toBeGreaterThanOrEqual(2);
  });

  it('follow a list that changes', async () => {
    const it = scene(4);
    it.join('a');
    it.join('b');
    await it.pass(SETTLE_MS);
    it.nodes = ['n0', 'x', 'y'];
    await it.pass(5_000);
    expect(it.pollersOf()).toEqual([1, 1, 1]);
  });

  it('start as everybody’s where the store is not there yet', async () => {
    const it = scene(3);
    const a = it.join('a');
    a.line.isUp = false;
    await a.shares.renew();
    expect(a.polling.size).toBe(3);
    expect(a.shares.pollerOf('n0')).toBe('a');
  });

  it('after any comings and goings are each done once, in fair shares', async () => {
    const step = fc.oneof(
      fc.constant('join' as const),
      fc.constant('kill' as const),
      fc.constant('cut' as const),
      fc.constant('mend' as const),
      fc.nat(6_000),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 12 }),
        fc.integer({ min: 1, max: 9 }),
        async (steps, nodes) => {
          const it = scene(nodes);
          let names = 0;
          it.join(`r${names++}`);
          for (const each of steps) {
            if (typeof each === 'number') await it.pass(each);
            else if (each === 'join' && it.pollers.length < 4) it.join(`r${names++}`);
            else if (each === 'kill' && it.pollers.length > 1) it.kill(it.pollers[0] as Poller);
            else for (const { line } of it.pollers.slice(1)) line.isUp = each !== 'cut';
          }
          for (const { line } of it.pollers) line.isUp = true;
          await it.pass(6 * SETTLE_MS);
          expect(it.pollersOf()).toEqual(it.nodes.map(() => 1));
          const sizes = it.pollers.map(({ polling }) => polling.size);
          expect(Math.max(...sizes)).toBeLessThanOrEqual(Math.ceil(nodes / it.pollers.length));
          expect(Math.min(...sizes)).toBeGreaterThanOrEqual(Math.floor(nodes / it.pollers.length));
          // And so it stays: nobody gives and takes for ever.
          it.gaps.clear();
          await it.pass(10_000);
          expect(Math.max(...it.gaps.values())).toBeLessThanOrEqual(INTERVAL_MS);
          for (const poller of it.pollers) poller.stop.abort();
        },
      ),
      { numRuns: 25 },
    );
  });
});
