import type { ModelKey, NodeId } from '../fleet/types.ts';

/** Names one running control plane; part of the ids of the decisions that it made. */
export type ReplicaId = string;

/** One running request: which node and model it occupies, and who decided so. */
export interface Lease {
  /** The decision's id: unique over all replicas. */
  readonly id: string;
  readonly node: NodeId;
  readonly model: ModelKey;
}

export type LeaseChange =
  /** Taking it again moves it to the node given. */
  | { readonly kind: 'put'; readonly lease: Lease }
  /** Releasing what is not held is harmless. */
  | { readonly kind: 'release'; readonly id: string };

/** Running requests by node and model. */
export type InflightCounts = ReadonlyMap<NodeId, ReadonlyMap<ModelKey, number>>;

/** Body of a message on `leases`, sent by the store itself after each change: running requests of `from`. */
export interface LeaseCounts {
  /** These are all that it has; false: only the pairs that changed. */
  readonly isAll: boolean;
  /** Absolute: node, model, running requests (0 where the last one ended). */
  readonly counts: readonly (readonly [NodeId, ModelKey, number])[];
}

/** What a replica tells of itself with each heartbeat. */
export interface ReplicaInfo {
  readonly id: ReplicaId;
  readonly version: string;
  /** ISO 8601, by its own clock: for people only. */
  readonly startedAt: string;
  /** Requests that it has routed and that are still running. */
  readonly inflight: number;
  /** Requests that wait there for a free slot. */
  readonly waiting: number;
  /** Some Envoy takes its endpoints from it. */
  readonly hasEnvoy: boolean;
}

export interface HeartbeatReply {
  /** Leases that the store holds for this replica: any other number than it has itself calls for `replaceLeases`. */
  readonly leases: number;
  /** Live replicas, the caller included. */
  readonly replicas: readonly ReplicaInfo[];
}

/** Latest facts of one node, for replicas that start later; a JSON document that its reader checks. */
export interface StoredNode {
  readonly id: NodeId;
  readonly facts: unknown;
  /** Ms since it was written, by the store's own clock. */
  readonly ageMs: number;
}

/** Small records that must survive the process; each value is a JSON document that its reader checks. */
export type DocumentKind = 'drains' | 'registry' | 'learnt';

export interface StoreMessage {
  readonly from: ReplicaId;
  /** Only the named replica hears of it; undefined: all others do. */
  readonly to: ReplicaId | undefined;
  /** What it is about; whoever reads it checks `body`. */
  readonly topic: 'leases' | 'observations' | 'outcomes' | 'documents';
  readonly body: unknown;
}

export type StoreState = 'connecting' | 'up' | 'down';

/**
 * State that replicas share. Every method is atomic, idempotent, and may be called from several replicas at once.
 * Each rejects with StoreError within a bounded time when the store cannot answer; none queues without bound. Nothing on
 * the request path awaits any of it, but a request that waits in the line anyway awaits `claimSlot`.
 */
export interface Store {
  /** False where no other process can ever see what is stored: then nothing need be told of leases or observations. */
  readonly isShared: boolean;
  readonly state: StoreState;
  /** Called at each change of `state`. The function returned ends it. */
  onState(listener: (state: StoreState) => void): () => void;

  /**
   * Applies the changes in order and tells the other replicas the resulting counts at once (see LeaseCounts). What was
   * applied of a call that was rejected is unknown: `replaceLeases` puts it right. A replica's leases are counted from
   * its first heartbeat on.
   */
  changeLeases(replica: ReplicaId, changes: readonly LeaseChange[]): Promise<void>;
  /** Makes these the replica's only leases, and tells the others: reconciliation replaces, it never adds. */
  replaceLeases(replica: ReplicaId, leases: readonly Lease[]): Promise<void>;
  /**
   * Takes the lease if, with it, no more than `cap` leases of all live replicas are on its node and model; false: it is not
   * taken, or another replica claims there at this moment. Of claims for one last slot that come together at most one
   * succeeds. Leases that were changed without asking are counted, but not prevented.
   */
  claimSlot(replica: ReplicaId, lease: Lease, cap: number): Promise<boolean>;
  /** Live leases of each replica but the one named; replicas without any may be left out. */
  inflightElsewhere(replica: ReplicaId): Promise<ReadonlyMap<ReplicaId, InflightCounts>>;
  /** Keeps the replica and its leases alive for `ttlMs`; a replica that stops calling this loses both. */
  heartbeat(info: ReplicaInfo, ttlMs: number): Promise<HeartbeatReply>;
  /** The replica, its leases and its claims to poll are gone at once, and the others hear of it: for an orderly end. */
  leave(replica: ReplicaId): Promise<void>;

  /**
   * Claims or renews for `ttlMs` the right to poll these nodes; answers those that the replica now holds. What another
   * replica holds is not taken from it before it expires.
   */
  claimPolls(replica: ReplicaId, nodes: readonly NodeId[], ttlMs: number): Promise<ReadonlySet<NodeId>>;
  releasePolls(replica: ReplicaId, nodes: readonly NodeId[]): Promise<void>;

  /** Saves the latest facts of these nodes; what is not renewed for `ttlMs` is forgotten. */
  saveNodes(nodes: readonly { readonly id: NodeId; readonly facts: unknown }[], ttlMs: number): Promise<void>;
  /** Facts of the nodes that are known; the others are left out. */
  loadNodes(ids: readonly NodeId[]): Promise<readonly StoredNode[]>;

  putDocument(kind: DocumentKind, id: string, value: unknown): Promise<void>;
  /** False when there was none. */
  deleteDocument(kind: DocumentKind, id: string): Promise<boolean>;
  documents(kind: DocumentKind): Promise<ReadonlyMap<string, unknown>>;

  /** True the first time within `ttlMs` that this value is claimed by anybody: a guard against replays. */
  claimOnce(value: string, ttlMs: number): Promise<boolean>;

  /** To the other replicas; lost where they are not connected now: whoever was not `up` reads everything again. */
  publish(message: StoreMessage): Promise<void>;
  /** Messages of other replicas that concern `replica`. The function returned ends it. */
  subscribe(replica: ReplicaId, listener: (message: StoreMessage) => void): () => void;

  close(): Promise<void>;
}

/** The store did not do what was asked. `reason` is bounded: it is a metric label. */
export class StoreError extends Error {
  readonly reason: StoreErrorReason;

  constructor(reason: StoreErrorReason, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'StoreError';
    this.reason = reason;
  }
}

export type StoreErrorReason =
  | 'disconnected'
  | 'timeout'
  /** Too many commands wait already. */
  | 'overloaded'
  /** The breaker is open: the store failed lately and is not asked. */
  | 'breaker_open'
  /** READONLY, LOADING, OOM, NOPERM, MOVED and the like. */
  | 'refused'
  /** A value or key is not what we write. */
  | 'corrupt';
