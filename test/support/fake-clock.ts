import type { Clock } from '../../src/app/ports.ts';

interface Entry {
  readonly due: number;
  readonly order: number;
  readonly fire: () => void;
}

/** A clock that stands still until a test advances it. */
export class FakeClock implements Clock {
  #now: number;
  readonly #epoch: number;
  readonly #entries = new Set<Entry>();
  #order = 0;

  /** Starts at `now` monotonic ms; the wall clock shows `date` at that moment. */
  constructor({ now = 0, date = new Date('2026-01-01T00:00:00Z') }: { now?: number; date?: Date } = {}) {
    this.#now = now;
    this.#epoch = date.getTime() - now;
  }

  now(): number {
    return this.#now;
  }

  date(): Date {
    return new Date(this.#epoch + this.#now);
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
    const entry = { due: this.#now + Math.max(0, ms || 0), order: this.#order++, fire: fn };
    this.#entries.add(entry);
    return () => {
      this.#entries.delete(entry);
    };
  }

  /** Timers and sleepers that wait now. */
  get pending(): number {
    return this.#entries.size;
  }

  /**
   * Moves time on by `ms`. Everything that falls due on the way runs in order of time, each at its own moment,
   * and what it leads to (promise chains, further timers) settles before the next one runs.
   */
  async advance(ms: number): Promise<void> {
    const target = this.#now + ms;
    await settle();
    for (let next = this.#next(target); next !== undefined; next = this.#next(target)) {
      this.#entries.delete(next);
      this.#now = Math.max(this.#now, next.due);
      next.fire();
      await settle();
    }
    this.#now = target;
  }

  /** Moves time on without running anything, as when the process was stopped: what is due runs at the next advance. */
  jump(ms: number): void {
    this.#now += ms;
  }

  #next(target: number): Entry | undefined {
    let best: Entry | undefined;
    for (const entry of this.#entries) {
      if (entry.due > target) continue;
      if (
        best === undefined ||
        entry.due < best.due ||
        (entry.due === best.due && entry.order < best.order)
      ) {
        best = entry;
      }
    }
    return best;
  }
}

/** Lets promise chains run until they wait for time or for I/O. */
async function settle(): Promise<void> {
  // Each turn of the event loop drains every microtask; two also cover what setImmediate and nextTick lead to.
  for (let turn = 0; turn < 2; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
