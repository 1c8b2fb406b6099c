import type { Clock } from '../app/ports.ts';
import type { NodeId } from '../fleet/types.ts';
import type {
  DocumentKind,
  HeartbeatReply,
  InflightCounts,
  Lease,
  LeaseChange,
  LeaseCounts,
  ReplicaId,
  ReplicaInfo,
  Store,
  StoredNode,
  StoreMessage,
  StoreState,
} from './contract.ts';
import { UNANNOUNCED_TTL_MS } from './limits.ts';
import { type DocumentFile, noDocuments } from './memory/document-file.ts';
import { Expiring } from './memory/expiring.ts';
import { ReplicaLeases } from './memory/replica-leases.ts';

interface Replica {
  /** Undefined until its first heartbeat: nobody sees it or its leases before. */
  info: ReplicaInfo | undefined;
  readonly leases: ReplicaLeases;
}

interface Subscriber {
  readonly replica: ReplicaId;
  readonly listener: (message: StoreMessage) => void;
}

export interface MemoryStoreOptions {
  /** True where several replicas of one process use the same object. */
  readonly isShared?: boolean;
  /** Where documents survive the process; undefined: they do not. */
  readonly file?: DocumentFile;
}

/** The store of a single process. All but the documents ends with it, as do the requests that it tells of. */
export class MemoryStore implements Store {
  readonly isShared: boolean;
  readonly state: StoreState = 'up';
  readonly #replicas: Expiring<ReplicaId, Replica>;
  readonly #polls: Expiring<NodeId, ReplicaId>;
  readonly #nodes: Expiring<NodeId, { readonly json: string; readonly writtenAt: number }>;
  readonly #claimed: Expiring<string, true>;
  readonly #subscribers = new Set<Subscriber>();
  readonly #clock: Clock;
  readonly #file: DocumentFile | undefined;
  readonly #documents;

  constructor(clock: Clock, { isShared = false, file }: MemoryStoreOptions = {}) {
    this.isShared = isShared;
    this.#clock = clock;
    this.#replicas = new Expiring(clock);
    this.#polls = new Expiring(clock);
    this.#nodes = new Expiring(clock);
    this.#claimed = new Expiring(clock);
    this.#file = file;
    this.#documents = file?.load() ?? noDocuments();
  }

  /** It never changes: memory is always there. */
  onState(_listener: (state: StoreState) => void): () => void {
    return () => {};
  }

  async changeLeases(replica: ReplicaId, changes: readonly LeaseChange[]): Promise<void> {
    this.#tellCounts(replica, this.#replica(replica).leases.change(changes));
  }

  async replaceLeases(replica: ReplicaId, leases: readonly Lease[]): Promise<void> {
    this.#tellCounts(replica, this.#replica(replica).leases.replace(leases));
  }

  async claimSlot(replica: ReplicaId, lease: Lease, cap: number): Promise<boolean> {
    const own = this.#replica(replica).leases;
    const put = own.change([{ kind: 'put', lease }]);
    let running = 0;
    for (const [id, { info, leases }] of this.#replicas.entries())
      if (info !== undefined || id === replica) running += leases.on(lease);
    if (running <= cap) this.#tellCounts(replica, put);
    else this.#tellCounts(replica, own.change([{ kind: 'release', id: lease.id }]));
    return running <= cap;
  }

  async inflightElsewhere(replica: ReplicaId): Promise<ReadonlyMap<ReplicaId, InflightCounts>> {
    const counts = new Map<ReplicaId, InflightCounts>();
    for (const [id, { info, leases }] of this.#replicas.entries()) {
      if (id !== replica && info !== undefined && leases.size > 0) counts.set(id, leases.counts());
    }
    return counts;
  }

  async heartbeat(info: ReplicaInfo, ttlMs: number): Promise<HeartbeatReply> {
    const replica = this.#replica(info.id);
    replica.info = info;
    this.#replicas.set(info.id, replica, ttlMs);
    return { leases: replica.leases.size, replicas: [...this.#live()] };
  }

  async leave(replica: ReplicaId): Promise<void> {
    this.#replicas.delete(replica);
    for (const [node, holder] of this.#polls.entries()) if (holder === replica) this.#polls.delete(node);
    this.#tellCounts(replica, { isAll: true, counts: [] });
  }

  async claimPolls(
    replica: ReplicaId,
    nodes: readonly NodeId[],
    ttlMs: number,
  ): Promise<ReadonlySet<NodeId>> {
    const held = new Set<NodeId>();
    for (const node of nodes) {
      if ((this.#polls.get(node) ?? replica) !== replica) continue;
      this.#polls.set(node, replica, ttlMs);
      held.add(node);
    }
    return held;
  }

  async releasePolls(replica: ReplicaId, nodes: readonly NodeId[]): Promise<void> {
    for (const node of nodes) if (this.#polls.get(node) === replica) this.#polls.delete(node);
  }

  async saveNodes(
    nodes: readonly { readonly id: NodeId; readonly facts: unknown }[],
    ttlMs: number,
  ): Promise<void> {
    const writtenAt = this.#clock.now();
    for (const { id, facts } of nodes) this.#nodes.set(id, { json: JSON.stringify(facts), writtenAt }, ttlMs);
  }

  async loadNodes(ids: readonly NodeId[]): Promise<readonly StoredNode[]> {
    const now = this.#clock.now();
    return ids.flatMap((id) => {
      const node = this.#nodes.get(id);
      return node === undefined ? [] : [{ id, facts: JSON.parse(node.json), ageMs: now - node.writtenAt }];
    });
  }

  async putDocument(kind: DocumentKind, id: string, value: unknown): Promise<void> {
    this.#documents[kind].set(id, JSON.parse(JSON.stringify(value)));
    await this.#file?.save(this.#documents);
  }

  async deleteDocument(kind: DocumentKind, id: string): Promise<boolean> {
    if (!this.#documents[kind].delete(id)) return false;
    await this.#file?.save(this.#documents);
    return true;
  }

  async documents(kind: DocumentKind): Promise<ReadonlyMap<string, unknown>> {
    return structuredClone(this.#documents[kind]);
  }

  async claimOnce(value: string, ttlMs: number): Promise<boolean> {
    if (this.#claimed.get(value) !== undefined) return false;
    this.#claimed.set(value, true, ttlMs);
    return true;
  }

  async publish(message: StoreMessage): Promise<void> {
    const others = [...this.#subscribers].filter(
      ({ replica }) => replica !== message.from && (message.to ?? replica) === replica,
    );
    if (others.length === 0) return;
    const json = JSON.stringify(message);
    // As from a socket: never inside the call that publishes.
    queueMicrotask(() => {
      for (const subscriber of others)
        if (this.#subscribers.has(subscriber)) subscriber.listener(JSON.parse(json));
    });
  }

  subscribe(replica: ReplicaId, listener: (message: StoreMessage) => void): () => void {
    const subscriber = { replica, listener };
    this.#subscribers.add(subscriber);
    return () => {
      this.#subscribers.delete(subscriber);
    };
  }

  async close(): Promise<void> {
    this.#subscribers.clear();
  }

  #replica(id: ReplicaId): Replica {
    const known = this.#replicas.get(id);
    if (known !== undefined) return known;
    const replica = { info: undefined, leases: new ReplicaLeases() };
    this.#replicas.set(id, replica, UNANNOUNCED_TTL_MS);
    return replica;
  }

  *#live(): Iterable<ReplicaInfo> {
    for (const [, { info }] of this.#replicas.entries()) if (info !== undefined) yield info;
  }

  #tellCounts(from: ReplicaId, body: LeaseCounts): void {
    if (body.isAll || body.counts.length > 0)
      void this.publish({ from, to: undefined, topic: 'leases', body });
  }
}
