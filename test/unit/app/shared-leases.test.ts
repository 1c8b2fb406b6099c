import { afterEach, describe, expect, it } from 'vitest';
import { SharedLeases } from '../../../src/app/shared-leases.ts';
import { LeaseLedger } from '../../../src/fleet/ledger.ts';
import type { InflightCounts } from '../../../src/store/contract.ts';
import { MemoryStore } from '../../../src/store/memory.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { resident } from '../fleet/builders.ts';
import { MODEL, request } from '../routing/builders.ts';
import { Workbench } from './workbench.ts';

/** Rejects everything while it is broken. */
class BreakableStore extends MemoryStore {
  isBroken = false;
  override async putLease(...args: Parameters<MemoryStore['putLease']>): Promise<void> {
    this.#check();
    await super.putLease(...args);
  }
  override async releaseLease(id: string): Promise<boolean> {
    this.#check();
    return super.releaseLease(id);
  }
  override async heartbeat(replica: string, ttlMs: number): Promise<void> {
    this.#check();
    await super.heartbeat(replica, ttlMs);
  }
  override async inflightElsewhere(replica: string): Promise<InflightCounts> {
    this.#check();
    return super.inflightElsewhere(replica);
  }
  #check(): void {
    if (this.isBroken) throw new Error('connection lost');
  }
}

let stop = new AbortController();
afterEach(() => {
  stop.abort();
  stop = new AbortController();
});

describe('a replica', () => {
  function twoReplicas() {
    const clock = new FakeClock();
    const store = new BreakableStore(clock);
    const log = new MemoryLog();
    const ledger = new LeaseLedger();
    const mine = new SharedLeases(store, 'a', clock, log);
    const theirs = new SharedLeases(store, 'b', clock, log);
    return { clock, store, log, ledger, mine, theirs };
  }

  it('counts the others’ leases within a second, and not its own', async () => {
    const { clock, ledger, mine, theirs } = twoReplicas();
    mine.taken('a-1', 'n1', MODEL);
    theirs.taken('b-1', 'n1', MODEL);
    theirs.taken('b-2', 'n2', MODEL);
    void mine.run(ledger, stop.signal);
    await clock.advance(0);
    expect([ledger.onModel('n1', MODEL), ledger.onModel('n2', MODEL)]).toEqual([1, 1]);
    theirs.moved('b-1', 'n2');
    await clock.advance(1_000);
    expect([ledger.onModel('n1', MODEL), ledger.onModel('n2', MODEL)]).toEqual([0, 2]);
    theirs.released('b-1');
    theirs.moved('b-1', 'n1');
    await clock.advance(1_000);
    expect([ledger.onModel('n1', MODEL), ledger.onModel('n2', MODEL)]).toEqual([0, 1]);
  });

  it('keeps its leases alive for as long as it beats, and loses them when it has died', async () => {
    const { clock, store, ledger, mine, theirs } = twoReplicas();
    theirs.taken('b-1', 'n1', MODEL);
    void theirs.run(new LeaseLedger(), stop.signal);
    const watching = new AbortController();
    void mine.run(ledger, watching.signal);
    await clock.advance(60_000);
    expect(ledger.onNode('n1')).toBe(1);
    stop.abort();
    await clock.advance(4_000);
    expect(ledger.onNode('n1')).toBe(0);
    watching.abort();
    await store.close();
  });
});

describe('a store that fails', () => {
  it('is said once, costs no request, and is said to work again once', async () => {
    const clock = new FakeClock({ now: 1_000 });
    const store = new BreakableStore(clock);
    const bench = new Workbench({ store }).withNodes({ n1: [resident(MODEL)] });
    const { shared, ledger, log, router } = bench;
    void shared.run(ledger, stop.signal);
    store.isBroken = true;
    const ids = Array.from({ length: 20 }, () => router.route(request()).id);
    for (const id of ids) router.finish(id);
    await bench.clock.advance(5_000);
    expect(ledger.size).toBe(0);
    expect(log.messages('warn')).toEqual([
      'shared store fails; routing goes on with what this process knows',
    ]);
    expect(log.messages('info')).toEqual([]);
    store.isBroken = false;
    await bench.clock.advance(5_000);
    expect(log.messages('info')).toEqual(['shared store works again']);
    expect(log.count('warn')).toBe(1);
  });
});
