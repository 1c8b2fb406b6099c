import type { Clock } from '../ports.ts';

/** Calls once at the earliest of the times that it was set to and never before it, then waits to be set again. */
export class Alarm {
  readonly #clock: Clock;
  readonly #ring: () => void;
  #due = Number.POSITIVE_INFINITY;
  #cancel: () => void = () => {};

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** Monotonic ms. */
  at(due: number): void {
    if (due >= this.#due) return;
    this.#cancel();
    this.#due = due;
    this.#cancel = this.#clock.after(Math.max(0, due - this.#clock.now()), () => {
      this.#due = Number.POSITIVE_INFINITY;
      // Timers of the machine may be a millisecond early.
      if (this.#clock.now() < due) this.at(due);
      else this.#ring();
    });
  }

  cancel(): void {
    this.#cancel();
    this.#due = Number.POSITIVE_INFINITY;
  }
}
