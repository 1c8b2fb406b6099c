import type { Clock } from '../app/ports.ts';
import type { ModelKey, NodeId } from '../fleet/types.ts';
import type { InflightCounts, Lease, Store } from './contract.ts';

interface Held {
  readonly lease: Lease;
  expiresAt: number;
}

/** The store of a single process: what is here dies with it, as do the leases it describes. */
export class MemoryStore implements Store {
  readonly #clock: Clock;
  readonly #held = new Map<string, Held>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async putLease(lease: Lease, ttlMs: number): Promise<void> {
    this.#held.set(lease.id, { lease, expiresAt: this.#clock.now() + ttlMs });
  }

  async releaseLease(id: string): Promise<boolean> {
    const held = this.#held.get(id);
    this.#held.delete(id);
    return held !== undefined && held.expiresAt > this.#clock.now();
  }

  async heartbeat(replica: string, ttlMs: number): Promise<void> {
    const now = this.#clock.now();
    for (const [id, held] of this.#held) {
      if (held.expiresAt <= now) this.#held.delete(id);
      else if (held.lease.replica === replica) held.expiresAt = now + ttlMs;
    }
  }

  async inflightElsewhere(replica: string): Promise<InflightCounts> {
    const now = this.#clock.now();
    const counts = new Map<NodeId, Map<ModelKey, number>>();
    for (const { lease, expiresAt } of this.#held.values()) {
      if (expiresAt <= now || lease.replica === replica) continue;
      const models = counts.get(lease.node) ?? new Map<ModelKey, number>();
      counts.set(lease.node, models.set(lease.model, (models.get(lease.model) ?? 0) + 1));
    }
    return counts;
  }

  async close(): Promise<void> {
    this.#held.clear();
  }
}
