import type { ModelKey } from './types.ts';

/** Half of what is known of a model's requests is forgotten after this time. */
const HALF_LIFE_MS = 300_000;
const MAX_MODELS = 4_096;

interface Rate {
  /** Faded number of requests. */
  count: number;
  at: number;
}

/** How often each model is asked for: an exponentially fading count of its requests. Bounded in memory. */
export class ModelDemand {
  readonly #rates = new Map<ModelKey, Rate>();

  /** Requests per second, smoothed over some minutes; 0 for models never asked for. */
  perSecond(model: ModelKey, now: number): number {
    const rate = this.#rates.get(model);
    if (rate === undefined) return 0;
    return (faded(rate, now) * Math.LN2 * 1000) / HALF_LIFE_MS;
  }

  note(model: ModelKey, now: number): void {
    const rate = this.#rates.get(model);
    if (rate !== undefined) {
      rate.count = faded(rate, now) + 1;
      rate.at = now;
      // Re-inserted at the end: the first entry is the one longest unasked.
      this.#rates.delete(model);
      this.#rates.set(model, rate);
      return;
    }
    this.#rates.set(model, { count: 1, at: now });
    for (const oldest of this.#rates.keys()) {
      if (this.#rates.size <= MAX_MODELS) break;
      this.#rates.delete(oldest);
    }
  }
}

function faded({ count, at }: Rate, now: number): number {
  return count * 2 ** (-Math.max(0, now - at) / HALF_LIFE_MS);
}
