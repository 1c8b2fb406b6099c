import type { Clock } from '../app/ports.ts';

/** An Envoy that is there subscribes within 200 ms; one that takes its endpoints from elsewhere never does. */
const DELIVERY_MS = 1000;
/** Where there are other replicas they serve meanwhile, and Envoy may have the nodes from one of these. */
const DELIVERY_ELSEWHERE_MS = 5_000;
const CHECK_MS = 5;

export interface OfferOptions {
  readonly clock: Clock;
  /** Some Envoy has the nodes from us. */
  readonly isHeard: () => boolean;
  /** Some Envoy has them from another replica. */
  readonly isHeardElsewhere: () => boolean;
  /** The Envoys that ask us may have their endpoints from another replica. */
  readonly hasPeers: () => boolean;
  /** Those who ask have their nodes from elsewhere: other people's proxies. There is nothing to wait for. */
  readonly isForOthers: boolean;
}

/** When this control plane offers itself to Envoy: not before Envoy has the nodes that our answers will name. */
export class Offer {
  readonly #options: OfferOptions;
  /** Envoys were told that they may ask; some still do while we drain. */
  #isMade = false;

  constructor(options: OfferOptions) {
    this.#options = options;
  }

  /** Beside other replicas an Envoy that did not come to us for its endpoints has them from one of these by then. */
  get canRoute(): boolean {
    const { isHeard, hasPeers, isForOthers } = this.#options;
    return isForOthers || isHeard() || (hasPeers() && this.#isMade);
  }

  /** Who restarts replicas one after the other goes by this: the next may go only when proxies ask this one. */
  get isMade(): boolean {
    return this.#isMade;
  }

  /** Calls `make` when it is time; not at all where `signal` aborts before. */
  async run(make: () => void, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const startedAt = clock.now();
    while (!signal.aborted && !this.#isDue(clock.now() - startedAt)) await clock.sleep(CHECK_MS, signal);
    if (signal.aborted) return;
    this.#isMade = true;
    make();
  }

  #isDue(waitedMs: number): boolean {
    const { isHeard, isHeardElsewhere, hasPeers, isForOthers } = this.#options;
    if (isForOthers || isHeard()) return true;
    if (!hasPeers()) return waitedMs >= DELIVERY_MS;
    return waitedMs >= (isHeardElsewhere() ? DELIVERY_MS : DELIVERY_ELSEWHERE_MS);
  }
}
