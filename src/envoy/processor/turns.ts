/** A piece of long work: does a little and says whether it is done. May throw only what it wants reported. */
export type Slice = () => boolean;

/** How long slices may run before the event loop gets its turn, ms. */
const TURN_MS = 3;

/**
 * Shares the event loop among long pieces of work: slices run in turn, and at most a few ms of them in one round of
 * the loop however many wait. `later` runs a function once the loop has looked after everything else.
 */
export class Turns {
  readonly #waiting: Slice[] = [];
  readonly #now: () => number;
  readonly #later: (fn: () => void) => void;
  #isScheduled = false;

  constructor(now: () => number, later: (fn: () => void) => void) {
    this.#now = now;
    this.#later = later;
  }

  get size(): number {
    return this.#waiting.length;
  }

  add(slice: Slice): void {
    this.#waiting.push(slice);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.length === 0) return;
    this.#isScheduled = true;
    this.#later(() => {
      this.#isScheduled = false;
      this.#run();
    });
  }

  #run(): void {
    const until = this.#now() + TURN_MS;
    try {
      do {
        const slice = this.#waiting.shift();
        if (slice === undefined) return;
        if (!slice()) this.#waiting.push(slice);
      } while (this.#now() < until);
    } finally {
      this.#schedule();
    }
  }
}
