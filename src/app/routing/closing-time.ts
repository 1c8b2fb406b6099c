/** An answer must be written, and read by the proxy, before what carries it ends. */
const LEAD_MS = 2_000;
/** Of a short drain no more than this share. */
const LEAD_SHARE = 0.25;

/** What becomes of the proxy that asks: it ends as well, and with it every request, or goes on without us. */
export type ProxyFate = 'ends' | 'stays';

/** When the line closes, once the server has been told to stop: nobody waits past that, as nobody could be answered any more. */
export class ClosingTime {
  readonly #listeners: (() => void)[] = [];
  #at = Number.POSITIVE_INFINITY;
  #proxy: ProxyFate = 'stays';

  /** Monotonic ms; infinite while no stop is known of. */
  get at(): number {
    return this.#at;
  }

  /** The proxy ends too: who has no slot by then is refused. Where it stays, the nodes may let a request wait. */
  get refuses(): boolean {
    return this.#proxy === 'ends';
  }

  /** Infinite where nobody is refused for this. */
  get refusesAt(): number {
    return this.refuses ? this.#at : Number.POSITIVE_INFINITY;
  }

  /** Closed, and nobody is refused for that: whoever comes goes to its node at once. */
  letsAllGo(now: number): boolean {
    return !this.refuses && this.#at <= now;
  }

  /** The server ends in so many ms at the latest. What was told before holds on: the earlier end, and that of the proxy. */
  endsIn(ms: number, now: number, proxy: ProxyFate): void {
    if (proxy === 'ends') this.#proxy = proxy;
    const at = now + ms - Math.min(LEAD_MS, ms * LEAD_SHARE);
    if (at >= this.#at) return;
    this.#at = at;
    for (const listener of this.#listeners) listener();
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }
}
