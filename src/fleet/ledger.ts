import { Elsewhere } from './elsewhere.ts';
import { Pairs } from './pairs.ts';
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
  endsAt: number;
}

/** Ends that one question is answered with: a longer queue is judged by its beginning. */
const MAX_ENDS = 64;

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
  readonly #pairs = new Pairs<Entry>();
  readonly #onChange = new Set<(id: string) => void>();

  /** Leases of this replica. */
  get size(): number {
    return this.#leases.size;
  }

  /** Calls `listener` with the id of every lease that is taken, moved or released. The function returned ends it. */
  onChange(listener: (id: string) => void): () => void {
    this.#onChange.add(listener);
    return () => this.#onChange.delete(listener);
  }

  /** Taking a lease again renews it, on the node and model given. `endsAt`: when it is expected to end, monotonic ms. */
  take(id: string, node: NodeId, model: ModelKey, now: number, endsAt: number = now): void {
    this.#end(id);
    const lease: Entry = { node, model, takenAt: now, endsAt };
    this.#leases.set(id, lease);
    this.#own.add(node, model, 1);
    this.#pairs.add(node, model, id, lease);
    this.#tell(id);
  }

  /** The request goes on on another node. False when no such lease is held. */
  move(id: string, node: NodeId): boolean {
    const lease = this.#leases.get(id);
    if (lease === undefined) return false;
    if (lease.node === node) return true;
    this.#own.add(lease.node, lease.model, -1);
    this.#pairs.remove(lease.node, lease.model, id);
    lease.node = node;
    this.#own.add(node, lease.model, 1);
    this.#pairs.add(node, lease.model, id, lease);
    this.#tell(id);
    return true;
  }

  /** False when no such lease was held. */
  release(id: string): boolean {
    if (!this.#end(id)) return false;
    this.#tell(id);
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

  expectedEnds(node: NodeId, model: ModelKey): readonly number[] {
    const leases = this.#pairs.of(node, model);
    if (leases.size === 0) return NO_ENDS;
    const ends: number[] = [];
    for (const { endsAt } of leases.values()) {
      if (ends.length === MAX_ENDS) break;
      ends.push(endsAt);
    }
    return ends.length > 1 ? ends.sort(bySize) : ends;
  }

  /** This replica's requests on the node and model, in the order in which they were taken. */
  leasesOn(node: NodeId, model: ModelKey): Iterable<string> {
    return this.#pairs.of(node, model).keys();
  }

  /** This replica's own counts, as a copy. */
  counts(): Counts {
    return this.#own.counts();
  }

  #tell(id: string): void {
    for (const listener of this.#onChange) listener(id);
  }

  #end(id: string): boolean {
    const lease = this.#leases.get(id);
    if (lease === undefined) return false;
    this.#leases.delete(id);
    this.#own.add(lease.node, lease.model, -1);
    this.#pairs.remove(lease.node, lease.model, id);
    return true;
  }
}

const NO_ENDS: readonly number[] = [];

function bySize(a: number, b: number): number {
  return a - b;
}
