import { z } from 'zod';
import type { LeaseLedger } from '../../fleet/ledger.ts';
import type {
  HeartbeatReply,
  LeaseChange,
  ReplicaId,
  ReplicaInfo,
  Store,
  StoreMessage,
} from '../../store/contract.ts';
import type { Clock } from '../ports.ts';

export const HEARTBEAT_MS = 1_000;
/** A replica that misses three heartbeats loses its leases. */
export const REPLICA_TTL_MS = 3 * HEARTBEAT_MS;
/** Changes that come together travel together. */
const COALESCE_MS = 1;
/** Beyond this many untold changes all leases are told instead. */
const MAX_UNTOLD = 10_000;
/** Content that differs although the number agrees (a failover lost writes) is repaired at every so many heartbeats. */
const REPLACE_EVERY = 15;
const MAX_PAIRS = 100_000;

const countsSchema = z.object({
  isAll: z.boolean(),
  counts: z.array(z.tuple([z.string().max(256), z.string().max(1_024), z.number()])).max(MAX_PAIRS),
});

export interface SharedLeasesOptions {
  readonly store: Store;
  readonly replica: ReplicaId;
  readonly ledger: LeaseLedger;
  readonly clock: Clock;
  /** This replica as it is now. */
  readonly info: () => ReplicaInfo;
  /** Live replicas, this one included: after each heartbeat, and alone when the store has been silent for too long. */
  readonly onReplicas: (replicas: readonly ReplicaInfo[]) => void;
}

/**
 * Tells the store of this replica's leases, and the ledger of the others'. Nothing here is awaited by a request. Only
 * ids of changed leases are kept; what is told is what the ledger says of them by then. Whatever fails, or comes while
 * the store is down, is repaired by telling all leases anew: the store's are replaced, never added to.
 */
export class SharedLeases {
  readonly #options: SharedLeasesOptions;
  readonly #replica: string;
  readonly #untold = new Set<string>();
  #isFlushDue = false;
  #mustReplace = true;
  #beats = 0;
  #heardAt: number;
  #told: number | undefined;
  /** One command at a time: what the store then holds is known. */
  #queue: Promise<void> = Promise.resolve();
  /** Pairs that others told of while all counts were being read. */
  #news: Set<string> | undefined;
  #wake: () => void = () => {};

  constructor(options: SharedLeasesOptions) {
    this.#options = options;
    this.#replica = options.replica;
    this.#heardAt = options.clock.now();
  }

  /** Heartbeats until `signal` aborts; then this replica and its leases leave the store. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, ledger } = this.#options;
    const offChange = ledger.onChange((id) => this.#changed(id));
    const unsubscribe = store.subscribe(this.#replica, (message) => this.#receive(message));
    const offState = store.onState((state) => {
      // What was lost meanwhile is not known: all is told anew.
      this.#mustReplace = true;
      if (state === 'up') this.#wake();
    });
    while (!signal.aborted) {
      await this.#queued(() => this.#beat());
      this.#forgetSilent();
      await this.#sleep(signal);
    }
    unsubscribe();
    offState();
    offChange();
    await this.#queued(() => store.leave(this.#replica));
  }

  /** Tells of this replica at once: what it says of itself has changed. */
  beat(): void {
    this.#wake();
  }

  #changed(id: string): void {
    if (this.#mustReplace) return;
    this.#untold.add(id);
    if (this.#untold.size > MAX_UNTOLD) this.#forgetUntold();
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    this.#options.clock.after(COALESCE_MS, () => {
      void this.#queued(() => {
        this.#isFlushDue = false;
        return this.#flush();
      });
    });
  }

  #forgetUntold(): void {
    this.#untold.clear();
    this.#mustReplace = true;
  }

  /** Afterwards the store holds exactly what the ledger held when this began. */
  async #flush(): Promise<void> {
    const { store, ledger } = this.#options;
    if (this.#mustReplace) {
      this.#untold.clear();
      this.#mustReplace = false;
      const leases = ledger.held();
      this.#told = leases.length;
      await store.replaceLeases(this.#replica, leases);
      return;
    }
    const changes: LeaseChange[] = [];
    for (const id of this.#untold) {
      const lease = ledger.find(id);
      changes.push(lease === undefined ? { kind: 'release', id } : { kind: 'put', lease });
    }
    this.#untold.clear();
    this.#told = ledger.size;
    if (changes.length > 0) await store.changeLeases(this.#replica, changes);
  }

  async #beat(): Promise<void> {
    const { store, clock, info, onReplicas } = this.#options;
    this.#beats += 1;
    if (this.#beats % REPLACE_EVERY === 0) this.#mustReplace = true;
    const reply = await store.heartbeat(info(), REPLICA_TTL_MS);
    this.#heardAt = clock.now();
    if (reply.leases !== this.#told) this.#mustReplace = true;
    if (this.#mustReplace || this.#untold.size > 0) await this.#flush();
    await this.#readElsewhere(reply);
    onReplicas(reply.replicas);
  }

  async #readElsewhere({ replicas }: HeartbeatReply): Promise<void> {
    const { store, ledger } = this.#options;
    const { elsewhere } = ledger;
    const others = replicas.filter(({ id }) => id !== this.#replica).map(({ id }) => id);
    for (const id of elsewhere.replicas) if (!others.includes(id)) elsewhere.drop(id);
    if (others.length === 0) return;
    const news = new Set<string>();
    this.#news = news;
    try {
      const counts = await store.inflightElsewhere(this.#replica);
      for (const id of others) {
        const isNewer = (node: string, model: string) => news.has(id) || news.has(`${id}\n${node}\n${model}`);
        elsewhere.replace(id, counts.get(id) ?? new Map(), isNewer);
      }
    } finally {
      this.#news = undefined;
    }
  }

  #receive({ topic, from, body }: StoreMessage): void {
    if (topic !== 'leases' || from === this.#replica) return;
    const parsed = countsSchema.safeParse(body);
    if (!parsed.success) return;
    const { elsewhere } = this.#options.ledger;
    const { isAll, counts } = parsed.data;
    if (isAll) {
      this.#news?.add(from);
      elsewhere.drop(from);
    }
    elsewhere.set(from, counts);
    for (const [node, model] of counts) this.#news?.add(`${from}\n${node}\n${model}`);
  }

  /** A store that does not answer says nothing of the others: old counts are better than none, but not for long. */
  #forgetSilent(): void {
    const { ledger, clock, info, onReplicas } = this.#options;
    if (clock.now() - this.#heardAt < REPLICA_TTL_MS) return;
    for (const id of ledger.elsewhere.replicas) ledger.elsewhere.drop(id);
    onReplicas([info()]);
  }

  /** A command that fails may have been carried out or not: all leases are told again. */
  #queued(command: () => Promise<void>): Promise<void> {
    this.#queue = this.#queue.then(command).catch(() => {
      this.#forgetUntold();
    });
    return this.#queue;
  }

  async #sleep(signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await this.#options.clock.sleep(HEARTBEAT_MS, AbortSignal.any([signal, woken.signal]));
  }
}
