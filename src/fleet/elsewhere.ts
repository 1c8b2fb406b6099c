import { type Counts, Tally } from './tally.ts';
import type { ModelKey, NodeId } from './types.ts';

/** One replica's count of one pair. */
export type PairCount = readonly [node: NodeId, model: ModelKey, running: number];

/** What the other replicas run, each as it last told. Counts come from a store that others write to: none is trusted. */
export class Elsewhere {
  readonly #replicas = new Map<string, Tally>();
  readonly #sum = new Tally();
  readonly #onChange = new Set<() => void>();

  get replicas(): readonly string[] {
    return [...this.#replicas.keys()];
  }

  /** Calls `listener` whenever counts have changed. The function returned ends it. */
  onChange(listener: () => void): () => void {
    this.#onChange.add(listener);
    return () => this.#onChange.delete(listener);
  }

  /** These pairs of a replica have changed; the counts are absolute. */
  set(replica: string, pairs: Iterable<PairCount>): void {
    const tally = this.#replicas.get(replica) ?? new Tally();
    this.#replicas.set(replica, tally);
    let isChanged = false;
    for (const [node, model, running] of pairs) {
      const by = tally.set(node, model, sensible(running));
      if (by === 0) continue;
      this.#sum.add(node, model, by);
      isChanged = true;
    }
    if (isChanged) for (const listener of this.#onChange) listener();
  }

  /** All that a replica runs. Pairs that `isNewer` names were told since `counts` was asked for, and stay as they are. */
  replace(
    replica: string,
    counts: Counts,
    isNewer: (node: NodeId, model: ModelKey) => boolean = () => false,
  ): void {
    const before = this.#replicas.get(replica)?.counts() ?? new Map();
    const ended: PairCount[] = [];
    for (const [node, model] of pairsOf(before))
      if (counts.get(node)?.get(model) === undefined) ended.push([node, model, 0]);
    const all = [...ended, ...pairsOf(counts)];
    this.set(
      replica,
      all.filter(([node, model]) => !isNewer(node, model)),
    );
  }

  /** The replica is gone, or has not been heard of for too long. */
  drop(replica: string): void {
    this.replace(replica, new Map());
    this.#replicas.delete(replica);
  }

  onNode(node: NodeId): number {
    return this.#sum.onNode(node);
  }

  onModel(node: NodeId, model: ModelKey): number {
    return this.#sum.onModel(node, model);
  }

  nodesRunning(model: ModelKey): Iterable<NodeId> {
    return this.#sum.nodesRunning(model);
  }
}

function* pairsOf(counts: Counts): Iterable<PairCount> {
  for (const [node, models] of counts) for (const [model, running] of models) yield [node, model, running];
}

function sensible(running: number): number {
  return Number.isFinite(running) ? Math.max(0, Math.round(running)) : 0;
}
