import type { ModelKey, NodeId } from './types.ts';

/** Running requests by node and model. */
export type Counts = ReadonlyMap<NodeId, ReadonlyMap<ModelKey, number>>;

interface NodeCount {
  total: number;
  readonly models: Map<ModelKey, number>;
}

/** Counts of running requests by node and model. None is ever negative, and what is zero is forgotten. */
export class Tally {
  readonly #nodes = new Map<NodeId, NodeCount>();
  readonly #byModel = new Map<ModelKey, Set<NodeId>>();

  add(node: NodeId, model: ModelKey, by: number): void {
    let count = this.#nodes.get(node);
    if (count === undefined) {
      count = { total: 0, models: new Map() };
      this.#nodes.set(node, count);
    }
    const before = count.models.get(model) ?? 0;
    const after = Math.max(0, before + by);
    count.total += after - before;
    if (after > 0) count.models.set(model, after);
    else count.models.delete(model);
    if (count.total <= 0) this.#nodes.delete(node);
    if (before > 0 !== after > 0) this.#index(node, model, after > 0);
  }

  /** Answers by how much the count has changed. */
  set(node: NodeId, model: ModelKey, to: number): number {
    const by = to - this.onModel(node, model);
    if (by !== 0) this.add(node, model, by);
    return by;
  }

  onNode(node: NodeId): number {
    return this.#nodes.get(node)?.total ?? 0;
  }

  onModel(node: NodeId, model: ModelKey): number {
    return this.#nodes.get(node)?.models.get(model) ?? 0;
  }

  /** Nodes whose count of the model is above 0. */
  nodesRunning(model: ModelKey): Iterable<NodeId> {
    return this.#byModel.get(model) ?? [];
  }

  /** A copy. */
  counts(): Counts {
    return new Map([...this.#nodes].map(([node, { models }]) => [node, new Map(models)]));
  }

  #index(node: NodeId, model: ModelKey, isRunning: boolean): void {
    const nodes = this.#byModel.get(model);
    if (!isRunning) {
      nodes?.delete(node);
      if (nodes?.size === 0) this.#byModel.delete(model);
    } else if (nodes === undefined) this.#byModel.set(model, new Set([node]));
    else nodes.add(node);
  }
}
