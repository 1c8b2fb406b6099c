/** A refusal must be written, and read by the proxy, before what carries it ends. */
const LEAD_MS = 2_000;
/** Of a short drain no more than this share. */
const LEAD_SHARE = 0.25;

/** When the line closes, once the server has been told to stop: nobody waits past that, as nobody could be answered any more. */
export class ClosingTime {
  readonly #listeners: (() => void)[] = [];
  #at = Number.POSITIVE_INFINITY;

  /** Monotonic ms; infinite while no stop is known of. */
  get at(): number {
    return this.#at;
  }

  /** The server ends in so many ms at the latest. A later end than one that was told before changes nothing. */
  endsIn(ms: number, now: number): void {
    const at = now + ms - Math.min(LEAD_MS, ms * LEAD_SHARE);
    if (at >= this.#at) return;
    this.#at = at;
    for (const listener of this.#listeners) listener();
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }
}
