import type { Random } from '../../app/ports.ts';

const FIRST_MS = 100;
const LONGEST_MS = 10_000;
/** Having run this long it has served: to wait would cost more than to start again. */
const STEADY_MS = 1_000;

/** How long to wait before starting a crashed process again: at once the first time, then doubling, with jitter. */
export class RestartBackoff {
  readonly #random: Random;
  #crashes = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Delay in ms after a run of `ranMs`. */
  next(ranMs: number): number {
    if (ranMs >= STEADY_MS) this.#crashes = 0;
    const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#crashes);
    this.#crashes++;
    return full / 2 + (full / 2) * this.#random();
  }
}
