import type { ModelKey, NodeId } from '../fleet/types.ts';

/** One running request: which node and model it occupies, and who decided so. */
export interface Lease {
  /** The decision's id: unique over all replicas. */
  readonly id: string;
  readonly replica: string;
  readonly node: NodeId;
  readonly model: ModelKey;
}

/** Running requests by node and model. */
export type InflightCounts = ReadonlyMap<NodeId, ReadonlyMap<ModelKey, number>>;

/**
 * State that replicas share. Every method is atomic and may be called from several replicas at once.
 * Nothing on the request path awaits it: the local ledger answers there, the store hears of it.
 */
export interface Store {
  /** Records a lease for `ttlMs`; recording it again renews it and moves it to the node given. */
  putLease(lease: Lease, ttlMs: number): Promise<void>;
  /** Idempotent: false when no such lease was held. */
  releaseLease(id: string): Promise<boolean>;
  /** Renews every lease of a replica. A replica that stops calling this loses its leases after `ttlMs`. */
  heartbeat(replica: string, ttlMs: number): Promise<void>;
  /** Live leases of all replicas but the one named. */
  inflightElsewhere(replica: string): Promise<InflightCounts>;
  close(): Promise<void>;
}
