import type { LeaseLedger } from '../../fleet/ledger.ts';
import type { Lease, ReplicaId, Store } from '../../store/contract.ts';
import type { Clock } from '../ports.ts';
import type { SlotClaims } from '../routing/claims.ts';

/** Replicas that were heard of within this time may still dispatch, although the store no longer tells of them. */
const MEMORY_MS = 60_000;
/** A slot that was given is in the ledger at once, or never. */
const GIVEN_MS = 1_000;

export interface SharedClaimsOptions {
  readonly store: Store;
  readonly replica: ReplicaId;
  readonly ledger: LeaseLedger;
  readonly clock: Clock;
  /** Live ones as last heard of, this one included. */
  readonly replicas: () => number;
}

/**
 * Asks the store for slots while there are other replicas. When it does not answer, each of them takes its share of the
 * slots and at least one: too many at once for a while is better than nobody served.
 */
export class SharedClaims implements SlotClaims {
  readonly #options: SharedClaimsOptions;
  /** Given without the store, and perhaps not in the ledger yet. */
  readonly #given = new Map<string, { readonly lease: Lease; readonly at: number }>();
  #most = 1;
  #mostAt = Number.NEGATIVE_INFINITY;

  constructor(options: SharedClaimsOptions) {
    this.#options = options;
  }

  claim(lease: Lease, cap: number): Promise<boolean> | undefined {
    const { store } = this.#options;
    const replicas = this.#replicas();
    if (replicas < 2) return undefined;
    if (store.state !== 'up') return Promise.resolve(this.#isWithinShare(lease, cap, replicas));
    return this.#ask(lease, cap, replicas);
  }

  async #ask(lease: Lease, cap: number, replicas: number): Promise<boolean> {
    const { store, replica } = this.#options;
    try {
      return await store.claimSlot(replica, lease, cap);
    } catch {
      return this.#isWithinShare(lease, cap, replicas);
    }
  }

  #isWithinShare(lease: Lease, cap: number, replicas: number): boolean {
    const { ledger, clock } = this.#options;
    const { node, model } = lease;
    const now = clock.now();
    let own = ledger.onModel(node, model) - ledger.elsewhere.onModel(node, model);
    for (const [id, given] of this.#given) {
      if (ledger.find(id) !== undefined || now - given.at > GIVEN_MS) this.#given.delete(id);
      else if (given.lease.node === node && given.lease.model === model) own += 1;
    }
    if (own >= Math.max(1, Math.floor(cap / replicas))) return false;
    this.#given.set(lease.id, { lease, at: now });
    return true;
  }

  #replicas(): number {
    const { clock, replicas } = this.#options;
    const live = replicas();
    const now = clock.now();
    if (live >= this.#most || now - this.#mostAt > MEMORY_MS) {
      this.#most = live;
      this.#mostAt = now;
    } else if (this.#options.store.state === 'up') this.#most = live;
    return this.#most;
  }
}
