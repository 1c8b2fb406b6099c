import { type Store, StoreError } from '../../store/contract.ts';
import type { Log } from '../log.ts';

/** A shared store that fails so often in a row, and does not say itself that it is down, refuses this very thing. */
const FAILURES_UNTIL_SAID = 3;

export interface StoreTroubleOptions {
  readonly store: Pick<Store, 'isShared' | 'state'>;
  readonly log: Log;
  /** What cannot be done, and what holds meanwhile. */
  readonly failing: string;
  readonly over: string;
}

/**
 * Says once that something cannot be read from the store or kept there, and once when that is over. A shared store says
 * itself that it is down: that is one line for all who use it, not one for each.
 */
export class StoreTrouble {
  readonly #options: StoreTroubleOptions;
  #failures = 0;
  #isSaid = false;

  constructor(options: StoreTroubleOptions) {
    this.#options = options;
  }

  get isPresent(): boolean {
    return this.#failures > 0;
  }

  met(error: unknown): void {
    const { store, log, failing } = this.#options;
    this.#failures += 1;
    const isSaidByStore = store.isShared && (store.state !== 'up' || this.#failures < FAILURES_UNTIL_SAID);
    if (isSaidByStore || this.#isSaid) return;
    this.#isSaid = true;
    // A StoreError's text is bounded and safe; where it was thrown helps nobody.
    if (error instanceof StoreError) log.warn({ reason: error.reason }, `${failing} (${error.message})`);
    else log.warn({ err: error }, failing);
  }

  over(): void {
    this.#failures = 0;
    if (this.#isSaid) this.#options.log.info({}, this.#options.over);
    this.#isSaid = false;
  }
}
