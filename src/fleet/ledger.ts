import { Elsewhere } from './elsewhere.ts';
import { type Counts, Tally } from './tally.ts';
import type { ModelKey, NodeId } from './types.ts';

/** One running request of this replica. */
export interface HeldLease {
  readonly id: string;
  readonly node: NodeId;
  readonly model: ModelKey;
}

interface Entry {
  node: NodeId;
  readonly model: ModelKey;
  readonly takenAt: number;
}

/**
 * Which of this replica's requests run where, each counted exactly once from the decision to the end of its stream. It
 * is the truth that routing reads at once; other replicas' counts are added as they last came from the store. Every
 * method may be repeated: no count is ever negative, and none outlives its lease.
 */
export class LeaseLedger {
  /** Requests of the other replicas. */
  readonly elsewhere = new Elsewhere();
  readonly #leases = new Map<string, Entry>();
  readonly #own = new Tally();
  #onChange: ((id: string) => void) | undefined;

  /** Leases of this replica. */
  get size(): number {
    return this.#leases.size;
  }

  /** Calls `listener` with the id of every lease that is taken, moved or released. Only one listener is kept. */
  onChange(listener: (id: string) => void): void {
    this.#onChange = listener;
  }

  /** Taking a lease again renews it, on the node and model given. */
  take(id: string, node: NodeId, model: ModelKey, now: number): void {
    this.#end(id);
    this.#leases.set(id, { node, model, takenAt: now });
    this.#own.add(node, model, 1);
    this.#onChange?.(id);
  }

  /** The request goes on on another node. False when no such lease is held. */
  move(id: string, node: NodeId): boolean {
    const lease = this.#leases.get(id);
    if (lease === undefined) return false;
    if (lease.node === node) return true;
    this.#own.add(lease.node, lease.model, -1);
    lease.node = node;
    this.#own.add(node, lease.model, 1);
    this.#onChange?.(id);
    return true;
  }

  /** False when no such lease was held. */
  release(id: string): boolean {
    if (!this.#end(id)) return false;
    this.#onChange?.(id);
    return true;
  }

  /** Releases the leases that are older than `maxAgeMs` and answers their ids: streams whose end was never heard of. */
  expire(maxAgeMs: number, now: number): string[] {
    const expired: string[] = [];
    for (const [id, lease] of this.#leases) if (now - lease.takenAt > maxAgeMs) expired.push(id);
    for (const id of expired) this.release(id);
    return expired;
  }

  /** Undefined when no such lease is held. */
  find(id: string): HeldLease | undefined {
    const lease = this.#leases.get(id);
    return lease && { id, node: lease.node, model: lease.model };
  }

  /** All leases of this replica, as a copy. */
  held(): HeldLease[] {
    return [...this.#leases].map(([id, { node, model }]) => ({ id, node, model }));
  }

  onNode(node: NodeId): number {
    return this.#own.onNode(node) + this.elsewhere.onNode(node);
  }

  onModel(node: NodeId, model: ModelKey): number {
    return this.#own.onModel(node, model) + this.elsewhere.onModel(node, model);
  }

  /** Nodes where anybody runs the model now; a node may be named twice. */
  *nodesRunning(model: ModelKey): Iterable<NodeId> {
    yield* this.#own.nodesRunning(model);
    yield* this.elsewhere.nodesRunning(model);
  }

  /** This replica's own counts, as a copy. */
  counts(): Counts {
    return this.#own.counts();
  }

  #end(id: string): boolean {
    const lease = this.#leases.get(id);
    if (lease === undefined) return false;
    this.#leases.delete(id);
    this.#own.add(lease.node, lease.model, -1);
    return true;
  }
}
