import type { ModelKey } from '../../../fleet/types.ts';
import { loadMs } from '../../node/speed.ts';
import type { Scenario, SimModelSpec, SimNodeSpec } from '../../types.ts';

/** An evicted model that nobody asks for within this time would have been unloaded by then anyway. */
const HORIZON_MS = 300_000;

/** What a workload will still ask for: known to the clairvoyant bound alone. */
export class Future {
  readonly #arrivals = new Map<ModelKey, number[]>();
  readonly #contexts = new Map<ModelKey, number>();

  constructor(scenario: Scenario) {
    const fixed = new Set<ModelKey>();
    for (const { request, arrivesAt } of scenario.requests) {
      const { key } = request.model;
      const times = this.#arrivals.get(key);
      if (times === undefined) this.#arrivals.set(key, [arrivesAt]);
      else times.push(arrivesAt);
      const model = scenario.models.find((known) => known.key === key);
      const context = request.numCtx ?? model?.defaultContext ?? 0;
      if (request.endpoint.family !== 'ollama') fixed.add(key);
      this.#contexts.set(key, Math.max(this.#contexts.get(key) ?? 0, context));
    }
    for (const key of fixed) this.#contexts.delete(key);
    for (const times of this.#arrivals.values()) times.sort((a, b) => a - b);
  }

  /** The largest context that anybody asks the model for; 0 where some of its requests cannot say one. */
  context(model: ModelKey): number {
    return this.#contexts.get(model) ?? 0;
  }

  /** When the model is asked for next; Infinity: never again. */
  nextAt(model: ModelKey, now: number): number {
    const times = this.#arrivals.get(model) ?? [];
    let low = 0;
    let high = times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((times[middle] ?? 0) > now) high = middle;
      else low = middle + 1;
    }
    return times[low] ?? Number.POSITIVE_INFINITY;
  }

  /** Ms that somebody will wait for the model to be loaded again if it goes now: less the later that is. */
  evictionMs(node: SimNodeSpec, model: SimModelSpec, now: number): number {
    const gapMs = this.nextAt(model.key, now) - now;
    return loadMs(node, model) * Math.max(0, 1 - gapMs / HORIZON_MS);
  }
}
