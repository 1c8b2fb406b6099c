import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Lease, LeaseChange, LeaseCounts, Store } from '../../src/store/contract.ts';
import { waitFor } from '../support/wait-for.ts';
import { info, plain, type StoreHarness } from './store.ts';

const REPLICAS = ['a', 'b', 'c'] as const;
type ReplicaName = (typeof REPLICAS)[number];
const LONG = 60_000;

type Step =
  | { readonly kind: 'put'; readonly id: number; readonly node: number; readonly model: number }
  | { readonly kind: 'release'; readonly id: number }
  /** Sends what the replica itself believes, as after a failure. */
  | { readonly kind: 'replace' }
  | { readonly kind: 'beat' }
  /** It is silent until its time is up. */
  | { readonly kind: 'die' }
  | { readonly kind: 'leave' };

const small = fc.nat({ max: 4 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('put' as const),
      id: small,
      node: small,
      model: fc.nat({ max: 1 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('release' as const), id: small }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'replace' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'beat' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'die' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'leave' as const }) },
);
/** Each item is one call by one replica; steps of kind put and release go out in one batch. */
const script = fc.array(
  fc.record({ by: fc.constantFrom(...REPLICAS), steps: fc.array(step, { minLength: 1, maxLength: 6 }) }),
  { maxLength: 25 },
);

/** What is true, in the simplest words. */
class Model {
  readonly live = new Set<ReplicaName>();
  readonly leases = new Map<ReplicaName, Map<string, Lease>>(REPLICAS.map((name) => [name, new Map()]));

  of(name: ReplicaName): Map<string, Lease> {
    const leases = this.leases.get(name);
    if (leases === undefined) throw new Error(`no replica ${name}`);
    return leases;
  }

  /** As `inflightElsewhere` for somebody who is none of them. */
  counts(): Record<string, Record<string, number>> {
    const all = [...this.live]
      .map((name) => [name, [...this.of(name).values()]] as const)
      .filter(([, leases]) => leases.length > 0);
    return Object.fromEntries(
      all.map(([name, leases]) => {
        const counts: Record<string, number> = {};
        for (const { node, model } of leases)
          counts[`${node} ${model}`] = (counts[`${node} ${model}`] ?? 0) + 1;
        return [name, counts];
      }),
    );
  }
}

/** What somebody knows who only listens. */
class Mirror {
  readonly #counts = new Map<string, Map<string, number>>();

  hear(from: string, { isAll, counts }: LeaseCounts): void {
    const known = isAll ? new Map<string, number>() : (this.#counts.get(from) ?? new Map<string, number>());
    for (const [node, model, running] of counts) {
      expect(running).toBeGreaterThanOrEqual(0);
      if (running === 0) known.delete(`${node} ${model}`);
      else known.set(`${node} ${model}`, running);
    }
    this.#counts.set(from, known);
  }

  /** That a replica is dead is seen from the list of replicas, not heard. */
  forget(from: string): void {
    this.#counts.delete(from);
  }

  counts(live: ReadonlySet<string>): Record<string, Record<string, number>> {
    return Object.fromEntries(
      [...this.#counts]
        .filter(([name, counts]) => live.has(name) && counts.size > 0)
        .map(([name, counts]) => [name, Object.fromEntries(counts)]),
    );
  }
}

/** Declares that whatever replicas do in whatever order, the store tells the truth. */
export function itNeverDrifts(harness: StoreHarness, runs: number): void {
  it(`counts leases exactly, whatever three replicas do in whatever order (${runs} histories)`, async () => {
    await fc.assert(
      fc.asyncProperty(script, async (calls) => {
        const stores = await harness.open();
        try {
          await play(calls, stores, harness);
        } finally {
          await Promise.all(stores.map((store) => store.close()));
        }
      }),
      { numRuns: runs },
    );
  }, 120_000);
}

async function play(
  calls: readonly { readonly by: ReplicaName; readonly steps: readonly Step[] }[],
  stores: readonly Store[],
  harness: StoreHarness,
): Promise<void> {
  const [model, mirror] = [new Model(), new Mirror()];
  const storeOf = (name: ReplicaName): Store => {
    const store = stores[REPLICAS.indexOf(name)];
    if (store === undefined) throw new Error('the harness opened too few stores');
    return store;
  };
  const end = storeOf('a').subscribe('observer', ({ from, topic, body }) => {
    if (topic === 'leases') mirror.hear(from, body as LeaseCounts);
  });
  await waitFor('the store to be up', () => storeOf('a').state === 'up', { intervalMs: 2 });
  for (const { by, steps } of calls)
    for (const batch of batches(steps)) await apply(by, batch, model, mirror, storeOf(by), harness);
  expect(plain(await storeOf('c').inflightElsewhere('observer'))).toEqual(model.counts());
  // Messages are in order for each replica, and on their way for a moment.
  await waitFor('all messages', () => isDeepStrictEqual(mirror.counts(model.live), model.counts()), {
    intervalMs: 2,
    timeoutMs: 3_000,
  }).catch(() => expect(mirror.counts(model.live)).toEqual(model.counts()));
  for (const name of REPLICAS)
    expect((await storeOf(name).heartbeat(info(name), LONG)).leases).toBe(model.of(name).size);
  end();
}

async function apply(
  by: ReplicaName,
  batch: readonly Step[],
  model: Model,
  mirror: Mirror,
  store: Store,
  harness: StoreHarness,
): Promise<void> {
  const own = model.of(by);
  const [first] = batch;
  switch (first?.kind) {
    case 'put':
    case 'release': {
      const changes = batch.flatMap((item): LeaseChange[] => {
        if (item.kind === 'put') {
          const lease = { id: `${by}-${item.id}`, node: `n${item.node}`, model: `m${item.model}` };
          own.set(lease.id, lease);
          return [{ kind: 'put', lease }];
        }
        if (item.kind !== 'release') return [];
        own.delete(`${by}-${item.id}`);
        return [{ kind: 'release', id: `${by}-${item.id}` }];
      });
      await store.changeLeases(by, changes);
      return;
    }
    case 'replace':
      await store.replaceLeases(by, [...own.values()]);
      return;
    case 'beat':
      await store.heartbeat(info(by), LONG);
      model.live.add(by);
      return;
    case 'die':
      await store.heartbeat(info(by), 1);
      await harness.advance(6);
      model.live.delete(by);
      own.clear();
      mirror.forget(by);
      return;
    case 'leave':
      await store.leave(by);
      model.live.delete(by);
      own.clear();
      return;
  }
}

/** Puts and releases that follow one another go out together. */
function batches(steps: readonly Step[]): Step[][] {
  const out: Step[][] = [];
  const isChange = (item: Step | undefined) => item?.kind === 'put' || item?.kind === 'release';
  for (const item of steps) {
    const last = out.at(-1);
    if (last !== undefined && isChange(item) && isChange(last[0])) last.push(item);
    else out.push([item]);
  }
  return out;
}
