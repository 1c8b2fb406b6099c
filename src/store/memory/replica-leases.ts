import type { ModelKey, NodeId } from '../../fleet/types.ts';
import type { InflightCounts, Lease, LeaseChange, LeaseCounts } from '../contract.ts';
import { pairOf, parsePair } from '../pairs.ts';

/** Running requests of one replica. Counts follow from the leases, so the two cannot drift apart. */
export class ReplicaLeases {
  readonly #pairs = new Map<string, string>();
  readonly #counts = new Map<string, number>();

  get size(): number {
    return this.#pairs.size;
  }

  /** Answers the resulting counts of what it touched. */
  change(changes: readonly LeaseChange[]): LeaseCounts {
    const touched = new Set<string>();
    for (const change of changes) {
      const id = change.kind === 'put' ? change.lease.id : change.id;
      const before = this.#pairs.get(id);
      const after = change.kind === 'put' ? pairOf(change.lease) : undefined;
      if (before === after) continue;
      if (before !== undefined) touched.add(this.#add(before, -1));
      if (after === undefined) this.#pairs.delete(id);
      else {
        this.#pairs.set(id, after);
        touched.add(this.#add(after, 1));
      }
    }
    return { isAll: false, counts: this.#tell(touched) };
  }

  replace(leases: readonly Lease[]): LeaseCounts {
    this.#pairs.clear();
    this.#counts.clear();
    this.change(leases.map((lease) => ({ kind: 'put', lease })));
    return { isAll: true, counts: this.#tell(this.#counts.keys()) };
  }

  /** Leases on the node and model. */
  on(place: Pick<Lease, 'node' | 'model'>): number {
    return this.#counts.get(pairOf(place)) ?? 0;
  }

  counts(): InflightCounts {
    const counts = new Map<NodeId, Map<ModelKey, number>>();
    for (const [node, model, running] of this.#tell(this.#counts.keys())) {
      const models = counts.get(node) ?? new Map<ModelKey, number>();
      counts.set(node, models.set(model, running));
    }
    return counts;
  }

  #add(pair: string, delta: 1 | -1): string {
    const count = (this.#counts.get(pair) ?? 0) + delta;
    if (count > 0) this.#counts.set(pair, count);
    else this.#counts.delete(pair);
    return pair;
  }

  #tell(pairs: Iterable<string>): LeaseCounts['counts'] {
    return [...pairs].flatMap((pair) => {
      const names = parsePair(pair);
      return names === undefined ? [] : [[...names, this.#counts.get(pair) ?? 0] as const];
    });
  }
}
