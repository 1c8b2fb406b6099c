import type { Fleet } from '../app/fleet.ts';
import type { Clock } from '../app/ports.ts';

/** Nodes that do not answer at all must not keep the others from being used. */
const FIRST_ROUND_MS = 2000;
const CHECK_MS = 20;

/** Whether traffic should come here: after the first round of polls (or 2 s), until the drain begins. */
export class Readiness {
  readonly #fleet: Fleet;
  readonly #clock: Clock;
  readonly #listeners: (() => void)[] = [];
  #isPolled = false;
  #isDraining = false;

  constructor(fleet: Fleet, clock: Clock) {
    this.#fleet = fleet;
    this.#clock = clock;
  }

  reasons(): string[] {
    if (this.#isDraining) return ['draining: this control plane is about to stop'];
    return this.#isPolled ? [] : ['the first round of polls is not complete'];
  }

  /** Called once; at once where it is ready already, as a fleet without nodes is from the start. */
  onReady(listener: () => void): void {
    if (this.#isPolled) listener();
    else this.#listeners.push(listener);
  }

  drain(): void {
    this.#isDraining = true;
  }

  async run(signal: AbortSignal): Promise<void> {
    const deadline = this.#clock.now() + FIRST_ROUND_MS;
    while (!signal.aborted && !this.#isComplete() && this.#clock.now() < deadline)
      await this.#clock.sleep(CHECK_MS, signal);
    if (signal.aborted) return;
    this.#isPolled = true;
    for (const listener of this.#listeners) listener();
  }

  /** Every node has answered with both lists, or has failed. */
  #isComplete(): boolean {
    for (const { seenAt, health } of this.#fleet.nodes.values()) {
      const isKnown = seenAt.resident !== undefined && seenAt.tags !== undefined;
      if (!isKnown && health.lastFailure === undefined) return false;
    }
    return true;
  }
}
