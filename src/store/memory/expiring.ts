import type { Clock } from '../../app/ports.ts';

const SWEEP_MS = 60_000;

/** A map whose entries are gone when their time is up, without a timer of its own. */
export class Expiring<Key, Value> {
  readonly #clock: Clock;
  readonly #entries = new Map<Key, { readonly value: Value; readonly until: number }>();
  #sweepAt: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sweepAt = clock.now() + SWEEP_MS;
  }

  get(key: Key): Value | undefined {
    const entry = this.#entries.get(key);
    return entry === undefined || entry.until <= this.#clock.now() ? undefined : entry.value;
  }

  set(key: Key, value: Value, ttlMs: number): void {
    const now = this.#clock.now();
    if (now >= this.#sweepAt) this.#sweep(now);
    this.#entries.set(key, { value, until: now + ttlMs });
  }

  delete(key: Key): void {
    this.#entries.delete(key);
  }

  *entries(): Iterable<readonly [Key, Value]> {
    const now = this.#clock.now();
    for (const [key, { value, until }] of this.#entries) if (until > now) yield [key, value];
  }

  #sweep(now: number): void {
    for (const [key, { until }] of this.#entries) if (until <= now) this.#entries.delete(key);
    this.#sweepAt = now + SWEEP_MS;
  }
}
