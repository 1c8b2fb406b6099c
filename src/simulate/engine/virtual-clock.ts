import type { Clock } from '../../app/ports.ts';
import { EventHeap, type PlannedEvent } from './event-heap.ts';

const EPOCH = Date.UTC(2026, 0, 1);

/**
 * A clock that jumps from one planned moment to the next. Events run one after the other and synchronously: promises
 * made by what they call settle only after `run` has returned, so nothing that is simulated may wait for one.
 */
export class VirtualClock implements Clock {
  readonly #heap = new EventHeap();
  #now = 0;
  #order = 0;

  now(): number {
    return this.#now;
  }

  date(): Date {
    return new Date(EPOCH + this.#now);
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        cancel();
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const cancel = this.after(ms, wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  after(ms: number, fn: () => void): () => void {
    // Infinity never comes; what is not a number comes at once, as with real timers.
    if (ms === Number.POSITIVE_INFINITY) return () => {};
    const event: PlannedEvent = { due: this.#now + Math.max(0, ms || 0), order: this.#order++, fire: fn };
    this.#heap.push(event);
    return () => {
      this.#heap.callOff(event);
    };
  }

  /** Lets events happen until `isOver` says so, nothing is planned, or time passes `untilMs`. */
  run(isOver: () => boolean, untilMs: number = Number.POSITIVE_INFINITY): void {
    while (!isOver()) {
      const event = this.#heap.pop();
      if (event === undefined || event.due > untilMs) {
        if (event !== undefined) this.#heap.push(event);
        if (untilMs < Number.POSITIVE_INFINITY) this.#now = Math.max(this.#now, untilMs);
        return;
      }
      this.#now = event.due;
      const { fire } = event;
      event.fire = undefined as never; // sound: it has happened, calling it off does nothing from now on
      fire();
    }
  }
}
