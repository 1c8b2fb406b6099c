import { randomBytes } from 'node:crypto';
import type { NodeId } from '../../fleet/types.ts';
import {
  type DocumentKind,
  type HeartbeatReply,
  type InflightCounts,
  type Lease,
  type LeaseChange,
  type ReplicaId,
  type ReplicaInfo,
  type Store,
  type StoredNode,
  StoreError,
  type StoreMessage,
  type StoreState,
} from '../contract.ts';
import { parseJson } from '../json.ts';
import { CLAIM_TTL_MS, MAX_VALUE_BYTES, UNANNOUNCED_TTL_MS } from '../limits.ts';
import { pairOf } from '../pairs.ts';
import type { Connection } from './connection.ts';
import { bucketOf, type Keys } from './keys.ts';
import { encodeMessage } from './messages.ts';
import type { RejectedValues } from './rejected-values.ts';
import { count, countsOf, factsOf, replicaOf, texts } from './replies.ts';
import { BEGIN_CLAIM, COUNT_PAIR, END_CLAIM } from './scripts/claims.ts';
import { BEAT, CHANGE_LEASES, FORGET_LEASES, READ_COUNTS, REPLACE_LEASES } from './scripts/leases.ts';
import { CLAIM_POLLS, RELEASE_POLLS } from './scripts/polls.ts';
import { ANNOUNCE, LIVE_REPLICAS, RETIRE } from './scripts/replicas.ts';
import { DELETE_DOCUMENT, LOAD_NODES, PUT_DOCUMENT, READ_DOCUMENTS, SAVE_NODES } from './scripts/values.ts';

/** Changes in one call: more are sent as several, in order. */
const CHANGES_PER_CALL = 1_000;
/** Pairs of node and model with running requests that one replica may have. */
const MAX_PAIRS = 100_000;

/** State that replicas share through Redis. `docs/redis.md` lists what it writes. */
export class RedisStore implements Store {
  readonly isShared = true;
  readonly #connection: Connection;
  readonly #keys: Keys;
  readonly #rejected: RejectedValues;
  /** Tells this process from an earlier one of the same id, whose late writes must not count. */
  readonly #writer = randomBytes(9).toString('base64url');
  #sequence = 0;

  constructor(connection: Connection, keys: Keys, rejected: RejectedValues) {
    this.#connection = connection;
    this.#keys = keys;
    this.#rejected = rejected;
  }

  get state(): StoreState {
    return this.#connection.state;
  }

  /** Commands that Redis has not answered yet. */
  get pending(): number {
    return this.#connection.pending;
  }

  onState(listener: (state: StoreState) => void): () => void {
    return this.#connection.onState(listener);
  }

  async changeLeases(replica: ReplicaId, changes: readonly LeaseChange[]): Promise<void> {
    const calls: Promise<void>[] = [];
    for (let at = 0; at < changes.length; at += CHANGES_PER_CALL) {
      const args = changes
        .slice(at, at + CHANGES_PER_CALL)
        .flatMap((change) =>
          change.kind === 'put' ? [change.lease.id, pairOf(change.lease)] : [change.id, ''],
        );
      calls.push(this.#writeLeases(CHANGE_LEASES, replica, args));
    }
    await settled(calls);
  }

  async replaceLeases(replica: ReplicaId, leases: readonly Lease[]): Promise<void> {
    const args = leases.flatMap((lease) => [lease.id, pairOf(lease)]);
    await this.#writeLeases(REPLACE_LEASES, replica, args);
  }

  /**
   * Leases of replicas lie in different slots of a cluster, so no script can count them all. Claims for one node and model
   * come one after the other; what one of them has put is counted by the next. A claim that outlives its turn is
   * seen by the others as soon as its lease is put, which is before it counts.
   */
  async claimSlot(replica: ReplicaId, lease: Lease, cap: number): Promise<boolean> {
    const pair = pairOf(lease);
    const key = this.#keys.claim(pair);
    const [turn, live] = await settled([
      this.#connection.script(BEGIN_CLAIM, [key], [lease.id, CLAIM_TTL_MS]),
      this.#connection.script(LIVE_REPLICAS, [this.#keys.replicasSeen], []),
    ]);
    if (turn !== 1) return false;
    try {
      const ids = this.#texts(live, 'replicas', this.#keys.replicasSeen);
      await this.#writeLeases(CHANGE_LEASES, replica, [lease.id, pair]);
      const counts = await settled(
        [...new Set([replica, ...ids])].map((id) =>
          this.#connection.script(COUNT_PAIR, [this.#keys.replica(id).counts], [pair]),
        ),
      );
      let running = 0;
      for (const each of counts) running += count.parse(each);
      if (running <= cap) return true;
      await this.#writeLeases(CHANGE_LEASES, replica, [lease.id, '']);
      return false;
    } finally {
      // Nobody waits for it: at worst the turn ends by itself.
      this.#connection.script(END_CLAIM, [key], [lease.id]).catch(() => undefined);
    }
  }

  async inflightElsewhere(replica: ReplicaId): Promise<ReadonlyMap<ReplicaId, InflightCounts>> {
    const live = await this.#connection.script(LIVE_REPLICAS, [this.#keys.replicasSeen], []);
    const others = this.#texts(live, 'replicas', this.#keys.replicasSeen).filter((id) => id !== replica);
    const counts = new Map<ReplicaId, InflightCounts>();
    await settled(
      others.map(async (id) => {
        const key = this.#keys.replica(id).counts;
        const reply = await this.#connection.script(READ_COUNTS, [key], [MAX_PAIRS]);
        const read = countsOf(this.#texts(reply, 'leases', key), () => this.#rejected.add('leases', key));
        if (read.size > 0) counts.set(id, read);
      }),
    );
    return counts;
  }

  async heartbeat(info: ReplicaInfo, ttlMs: number): Promise<HeartbeatReply> {
    const { replicasSeen, replicasInfo } = this.#keys;
    const [held, live] = await settled([
      this.#connection.script(BEAT, this.#leaseKeys(info.id), [this.#writer, ttlMs]),
      this.#connection.script(ANNOUNCE, [replicasSeen, replicasInfo], [info.id, JSON.stringify(info), ttlMs]),
    ]);
    const replicas = this.#texts(live, 'replicas', replicasInfo).flatMap((json) => {
      const replica = replicaOf(json);
      if (replica === undefined) this.#rejected.add('replicas', replicasInfo);
      return replica ?? [];
    });
    return { leases: count.parse(held), replicas };
  }

  async leave(replica: ReplicaId): Promise<void> {
    const { replicasSeen, replicasInfo, polls, toAll } = this.#keys;
    await settled([
      this.#connection.script(FORGET_LEASES, this.#leaseKeys(replica), [toAll, JSON.stringify(replica)]),
      this.#connection.script(RETIRE, [replicasSeen, replicasInfo], [replica]),
      this.#connection.script(RELEASE_POLLS, [polls], [replica]),
    ]);
  }

  async claimPolls(
    replica: ReplicaId,
    nodes: readonly NodeId[],
    ttlMs: number,
  ): Promise<ReadonlySet<NodeId>> {
    if (nodes.length === 0) return new Set();
    const reply = await this.#connection.script(CLAIM_POLLS, [this.#keys.polls], [replica, ttlMs, ...nodes]);
    const places = count.array().parse(reply);
    return new Set(places.flatMap((place) => nodes[place] ?? []));
  }

  async releasePolls(replica: ReplicaId, nodes: readonly NodeId[]): Promise<void> {
    if (nodes.length > 0)
      await this.#connection.script(RELEASE_POLLS, [this.#keys.polls], [replica, ...nodes]);
  }

  async saveNodes(
    nodes: readonly { readonly id: NodeId; readonly facts: unknown }[],
    ttlMs: number,
  ): Promise<void> {
    const fitting: { readonly id: NodeId; readonly json: string }[] = [];
    let refused: unknown;
    for (const { id, facts } of nodes) {
      try {
        fitting.push({ id, json: encode(facts, `facts of node ${id}`) });
      } catch (error) {
        refused = error;
      }
    }
    await settled(
      [...inBuckets(fitting, ({ id }) => id).values()].map((bucket) =>
        this.#connection.script(
          SAVE_NODES,
          bucket.map(({ id }) => this.#keys.node(id)),
          [ttlMs, ...bucket.map(({ json }) => json)],
        ),
      ),
    );
    // One node's odd facts must not cost the others theirs.
    if (refused !== undefined) throw refused;
  }

  async loadNodes(ids: readonly NodeId[]): Promise<readonly StoredNode[]> {
    const loaded = new Map<NodeId, StoredNode>();
    await settled(
      [...inBuckets(ids, (id) => id).values()].map(async (bucket) => {
        const keys = bucket.map((id) => this.#keys.node(id));
        const [now, ...values] = texts.parse(await this.#connection.script(LOAD_NODES, keys, []));
        for (const [i, id] of bucket.entries()) {
          const value = values[i] ?? '';
          if (value === '') continue;
          const node = factsOf(value, Number(now));
          if (node === undefined) this.#rejected.add('nodes', this.#keys.node(id));
          else loaded.set(id, { id, ...node });
        }
      }),
    );
    return ids.flatMap((id) => loaded.get(id) ?? []);
  }

  async putDocument(kind: DocumentKind, id: string, value: unknown): Promise<void> {
    const json = encode(value, `the document ${kind} ${id}`);
    await this.#connection.script(PUT_DOCUMENT, [this.#keys.documents(kind)], [id, json]);
  }

  async deleteDocument(kind: DocumentKind, id: string): Promise<boolean> {
    return (await this.#connection.script(DELETE_DOCUMENT, [this.#keys.documents(kind)], [id])) === 1;
  }

  async documents(kind: DocumentKind): Promise<ReadonlyMap<string, unknown>> {
    const key = this.#keys.documents(kind);
    const reply = this.#texts(await this.#connection.script(READ_DOCUMENTS, [key], []), 'documents', key);
    const documents = new Map<string, unknown>();
    for (let i = 0; i < reply.length; i += 2) {
      const value = parseJson(reply[i + 1] ?? '');
      if (value === undefined) this.#rejected.add('documents', `${key} ${reply[i]}`);
      else documents.set(reply[i] ?? '', value);
    }
    return documents;
  }

  async claimOnce(value: string, ttlMs: number): Promise<boolean> {
    return (await this.#connection.command('set', [this.#keys.once(value), '1', 'NX', 'PX', ttlMs])) === 'OK';
  }

  async publish(message: StoreMessage): Promise<void> {
    const { to } = message;
    const channel = to === undefined ? this.#keys.toAll : this.#keys.toOne(to);
    await this.#connection.command('publish', [channel, encodeMessage(message)]);
  }

  subscribe(replica: ReplicaId, listener: (message: StoreMessage) => void): () => void {
    return this.#connection.subscribe(replica, listener);
  }

  async close(): Promise<void> {
    this.#connection.close();
  }

  async #writeLeases(
    script: typeof CHANGE_LEASES,
    replica: ReplicaId,
    args: readonly string[],
  ): Promise<void> {
    this.#sequence += 1;
    const head = [
      this.#writer,
      this.#sequence,
      UNANNOUNCED_TTL_MS,
      this.#keys.toAll,
      JSON.stringify(replica),
    ];
    const result = await this.#connection.script(script, this.#leaseKeys(replica), [...head, ...args]);
    if (result === 1) return;
    throw new StoreError(
      'refused',
      result === 0
        ? 'leases were changed after this change was sent: it is not applied'
        : `another process tells of leases as replica ${replica}: this change is not applied`,
    );
  }

  #leaseKeys(replica: ReplicaId): string[] {
    const { info, leases, counts } = this.#keys.replica(replica);
    return [info, leases, counts];
  }

  /** Nothing where the key is not what we write. */
  #texts(reply: unknown, kind: 'replicas' | 'leases' | 'documents', where: string): readonly string[] {
    const { data } = texts.safeParse(reply);
    if (data === undefined) this.#rejected.add(kind, where);
    return data ?? [];
  }
}

/** Waits for all, then throws the first error: nothing goes on behind the caller's back. */
async function settled<const T extends readonly Promise<unknown>[]>(
  calls: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(calls);
  return Promise.all(calls);
}

function encode(value: unknown, what: string): string {
  const json = JSON.stringify(value) ?? 'null';
  if (Buffer.byteLength(json) <= MAX_VALUE_BYTES) return json;
  throw new StoreError('refused', `${what} has more than ${MAX_VALUE_BYTES} bytes`);
}

function inBuckets<Item>(items: readonly Item[], id: (item: Item) => NodeId): Map<number, Item[]> {
  const buckets = new Map<number, Item[]>();
  for (const item of items) {
    const bucket = bucketOf(id(item));
    const others = buckets.get(bucket);
    if (others === undefined) buckets.set(bucket, [item]);
    else others.push(item);
  }
  return buckets;
}
