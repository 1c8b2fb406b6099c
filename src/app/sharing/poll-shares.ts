import type { NodeId } from '../../fleet/types.ts';
import type { ReplicaId, Store } from '../../store/contract.ts';
import type { Clock, Random } from '../ports.ts';
import { REPLICA_TTL_MS } from './shared-leases.ts';

/** Claims are renewed twice in their life at most this fast, however short the poll interval is. */
const MIN_INTERVAL_MS = 500;
/** In poll intervals. Life, time to the next renewal and the start's delay together: a dead replica's nodes are polled again within two. */
const TTL_INTERVALS = 1.3;
const RENEW_INTERVALS = 0.4;
const TAKEOVER_SPREAD = 0.25;
/** Share of the surplus that is handed over at each renewal: those who take it over are not to start all at once. */
const HANDOVER_SHARE = 0.34;
/** What was taken over lately is kept: whoever should have it may be the one that died. */
const KEEP_MS = REPLICA_TTL_MS + 1_000;
const UNWANTED_MS = 60_000;
/** Nodes asked for at one renewal beyond those held. */
const MAX_ASKED = 2_000;
const NOBODY_YET = '';

export interface PollSharesOptions {
  readonly store: Store;
  readonly replica: ReplicaId;
  readonly clock: Clock;
  readonly random: Random;
  /** Read at every renewal: a reload may change it. */
  readonly intervalMs: () => number;
  readonly nodes: () => readonly NodeId[];
  /** From now on this replica polls the node, or does not. Called for changes only; `delayMs` spreads many starts. */
  readonly onChange: (node: NodeId, isOurs: boolean, delayMs: number) => void;
}

/**
 * Which nodes this replica polls. Each is polled by one replica at a time: whoever claimed it first keeps it for as long
 * as it renews the claim, and gives nodes away while it has more than its fair share. A node that nobody seems to poll
 * is claimed by everybody, and one gets it. While the store does not answer, every replica polls every node.
 */
export class PollShares {
  readonly #options: PollSharesOptions;
  /** When each node that is ours was claimed. */
  readonly #held = new Map<NodeId, number>();
  readonly #ours = new Set<NodeId>();
  readonly #elsewhere = new Map<NodeId, { readonly by: ReplicaId; readonly at: number }>();
  /** Nodes that were given away and that nobody has polled since. */
  readonly #given = new Set<NodeId>();
  #replicas = 1;
  #claimedAt = Number.NEGATIVE_INFINITY;

  constructor(options: PollSharesOptions) {
    this.#options = options;
  }

  isOurs(node: NodeId): boolean {
    return !this.#options.store.isShared || this.#ours.has(node);
  }

  /** Which replica polls the node, as far as is known. */
  pollerOf(node: NodeId): ReplicaId | undefined {
    if (this.isOurs(node)) return this.#options.replica;
    return this.#elsewhere.get(node)?.by || undefined;
  }

  /** Live replicas, this one included. */
  setReplicas(count: number): void {
    this.#replicas = Math.max(1, count);
  }

  polledElsewhere(node: NodeId, by: ReplicaId): void {
    this.#given.delete(node);
    this.#elsewhere.set(node, { by, at: this.#options.clock.now() });
  }

  /** Claims and renews until `signal` aborts, then gives all away. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, replica, clock, random } = this.#options;
    while (!signal.aborted) {
      await this.renew();
      const pause = this.#interval() * RENEW_INTERVALS;
      await clock.sleep(pause * (0.9 + 0.1 * random()), signal);
    }
    await store.releasePolls(replica, [...this.#held.keys()]).catch(() => {});
  }

  /** Claims what is wanted and renews what is held. Never rejects. */
  async renew(): Promise<void> {
    const { store, replica, clock } = this.#options;
    const nodes = this.#options.nodes();
    this.#forget(new Set(nodes));
    try {
      await this.#handOver(nodes.length);
      const room = this.#room(nodes.length);
      const { orphans, others } = this.#unheld(nodes);
      const asked = [...this.#held.keys(), ...orphans, ...(room > 0 ? others : [])];
      const claimed = new Set(await store.claimPolls(replica, asked, this.#ttl()));
      const surplus = others.filter((node) => claimed.has(node)).slice(room);
      for (const node of surplus) claimed.delete(node);
      if (surplus.length > 0) await store.releasePolls(replica, surplus);
      const now = clock.now();
      this.#claimedAt = now;
      for (const node of this.#held.keys()) if (!claimed.has(node)) this.#held.delete(node);
      for (const node of claimed) {
        if (this.#held.has(node)) continue;
        // Nobody wanted it: it is not offered again at once.
        this.#held.set(node, this.#given.delete(node) ? now + UNWANTED_MS : now);
      }
    } catch {
      // Claims still hold for their time; after it, everybody polls everything.
    }
    this.#apply(nodes);
  }

  /** How many more nodes would be fair. One more than the least where somebody else has more than the most. */
  #room(count: number): number {
    const most = Math.ceil(count / this.#replicas);
    const isUneven = Math.max(0, ...this.#sharesElsewhere()) > most;
    const share = isUneven ? most : Math.floor(count / this.#replicas);
    return Math.max(0, share - this.#held.size);
  }

  /** How many more than fair are held. The most counts as too many where somebody else has less than the least. */
  #surplus(count: number): number {
    const least = Math.floor(count / this.#replicas);
    const shares = this.#sharesElsewhere();
    const isUneven = shares.length < this.#replicas - 1 ? least > 0 : shares.some((share) => share < least);
    const share = isUneven ? least : Math.ceil(count / this.#replicas);
    return this.#held.size - share;
  }

  /** Nodes of each other replica that polls any. */
  #sharesElsewhere(): number[] {
    const shares = new Map<ReplicaId, number>();
    for (const [node, { by }] of this.#elsewhere)
      if (by !== NOBODY_YET && !this.#held.has(node)) shares.set(by, (shares.get(by) ?? 0) + 1);
    return [...shares.values()];
  }

  async #handOver(count: number): Promise<void> {
    const { store, replica, clock } = this.#options;
    const surplus = this.#surplus(count);
    if (surplus <= 0 || this.#replicas < 2) return;
    const now = clock.now();
    const old = [...this.#held].filter(([, since]) => now - since >= KEEP_MS).map(([node]) => node);
    const given = old.slice(0, Math.ceil(surplus * HANDOVER_SHARE));
    if (given.length === 0) return;
    await store.releasePolls(replica, given);
    for (const node of given) {
      this.#held.delete(node);
      this.#given.add(node);
      // Not ours to claim again at once: somebody with room is about to.
      this.#elsewhere.set(node, { by: NOBODY_YET, at: now + this.#ttl() });
    }
  }

  /** Nodes that nobody seems to poll, and those that others poll or are giving away: which, only the store knows. */
  #unheld(nodes: readonly NodeId[]): { orphans: NodeId[]; others: NodeId[] } {
    const now = this.#options.clock.now();
    const orphans: NodeId[] = [];
    const others: NodeId[] = [];
    const offset = Math.floor(this.#options.random() * nodes.length);
    for (let i = 0; i < nodes.length; i += 1) {
      const node = nodes[(i + offset) % nodes.length];
      if (node === undefined || this.#held.has(node)) continue;
      const heard = this.#elsewhere.get(node);
      if (heard === undefined || now - heard.at >= this.#ttl()) orphans.push(node);
      else if (heard.by !== NOBODY_YET) others.push(node);
    }
    return { orphans: orphans.slice(0, MAX_ASKED), others: others.slice(0, MAX_ASKED) };
  }

  #apply(nodes: readonly NodeId[]): void {
    const { clock, onChange, random } = this.#options;
    const isAlone = clock.now() - this.#claimedAt > this.#ttl();
    for (const node of nodes) {
      const isOurs = isAlone || this.#held.has(node);
      if (isOurs === this.#ours.has(node)) continue;
      if (isOurs) this.#ours.add(node);
      else this.#ours.delete(node);
      const spread = isAlone ? 1 : TAKEOVER_SPREAD;
      onChange(node, isOurs, random() * spread * this.#options.intervalMs());
    }
  }

  #forget(nodes: ReadonlySet<NodeId>): void {
    for (const map of [this.#held, this.#elsewhere])
      for (const node of map.keys()) if (!nodes.has(node)) map.delete(node);
    for (const set of [this.#ours, this.#given])
      for (const node of set) if (!nodes.has(node)) set.delete(node);
  }

  #interval(): number {
    return Math.max(MIN_INTERVAL_MS, this.#options.intervalMs());
  }

  #ttl(): number {
    return this.#interval() * TTL_INTERVALS;
  }
}
