import type { ModelKey, NodeId } from './types.ts';

/** Running requests by node and model. */
type Counts = ReadonlyMap<NodeId, ReadonlyMap<ModelKey, number>>;

interface Entry {
  node: NodeId;
  readonly model: ModelKey;
  readonly takenAt: number;
}

interface NodeCount {
  total: number;
  readonly models: Map<ModelKey, number>;
}

/**
 * Which of this replica's requests run where, each counted exactly once from the decision to the end of its stream. It
 * is the truth that routing reads at once; other replicas' counts are added as they last came from the store. Every
 * method may be repeated: no count is ever negative, and none outlives its lease.
 */
export class LeaseLedger {
  readonly #leases = new Map<string, Entry>();
  readonly #counts = new Map<NodeId, NodeCount>();
  #elsewhere: Counts = new Map();
  #elsewhereTotals = new Map<NodeId, number>();

  /** Leases of this replica. */
  get size(): number {
    return this.#leases.size;
  }

  /** Taking a lease again renews it, on the node and model given. */
  take(id: string, node: NodeId, model: ModelKey, now: number): void {
    this.release(id);
    this.#leases.set(id, { node, model, takenAt: now });
    this.#add(node, model);
  }

  /** The request goes on on another node. False when no such lease is held. */
  move(id: string, node: NodeId): boolean {
    const lease = this.#leases.get(id);
    if (lease === undefined) return false;
    if (lease.node === node) return true;
    this.#subtract(lease.node, lease.model);
    lease.node = node;
    this.#add(node, lease.model);
    return true;
  }

  /** False when no such lease was held. */
  release(id: string): boolean {
    const lease = this.#leases.get(id);
    if (lease === undefined) return false;
    this.#leases.delete(id);
    this.#subtract(lease.node, lease.model);
    return true;
  }

  /** Releases the leases that are older than `maxAgeMs` and answers their ids: streams whose end was never heard of. */
  expire(maxAgeMs: number, now: number): string[] {
    const expired: string[] = [];
    for (const [id, lease] of this.#leases) if (now - lease.takenAt > maxAgeMs) expired.push(id);
    for (const id of expired) this.release(id);
    return expired;
  }

  /** Replaces what is known of the other replicas' leases. */
  setElsewhere(counts: Counts): void {
    const totals = new Map<NodeId, number>();
    for (const [node, models] of counts) {
      let total = 0;
      for (const count of models.values()) total += positive(count);
      totals.set(node, total);
    }
    this.#elsewhere = counts;
    this.#elsewhereTotals = totals;
  }

  onNode(node: NodeId): number {
    return (this.#counts.get(node)?.total ?? 0) + (this.#elsewhereTotals.get(node) ?? 0);
  }

  onModel(node: NodeId, model: ModelKey): number {
    const own = this.#counts.get(node)?.models.get(model) ?? 0;
    return own + positive(this.#elsewhere.get(node)?.get(model) ?? 0);
  }

  /** This replica's own counts, as a copy. */
  counts(): Counts {
    return new Map([...this.#counts].map(([node, { models }]) => [node, new Map(models)]));
  }

  #add(node: NodeId, model: ModelKey): void {
    let count = this.#counts.get(node);
    if (count === undefined) {
      count = { total: 0, models: new Map() };
      this.#counts.set(node, count);
    }
    count.total += 1;
    count.models.set(model, (count.models.get(model) ?? 0) + 1);
  }

  #subtract(node: NodeId, model: ModelKey): void {
    const count = this.#counts.get(node);
    if (count === undefined) return;
    count.total -= 1;
    const left = (count.models.get(model) ?? 0) - 1;
    if (left > 0) count.models.set(model, left);
    else count.models.delete(model);
    if (count.total <= 0) this.#counts.delete(node);
  }
}

/** Counts of other replicas come from a store that others write to. */
function positive(count: number): number {
  return Number.isFinite(count) ? Math.max(0, count) : 0;
}
