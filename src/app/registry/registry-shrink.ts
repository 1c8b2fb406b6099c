import type { Log } from '../log.ts';
import type { Clock } from '../ports.ts';

/** A source that suddenly names less than half of so many must say so for this long. */
const HOLD_MS = 120_000;
const SMALLEST = 4;

/** Holds back what a source says when it may be a mistake: nothing at all, or far less than before. */
export class ShrinkHold {
  readonly #since = new Map<string, number>();
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Whether the members that the source no longer names stay for now. Said once when it begins. */
  isHeld(key: string, { members, named, lost }: { members: number; named: number; lost: number }): boolean {
    const isEmpty = named === 0 && members > 0;
    const isSteep = members >= SMALLEST && named * 2 < members;
    if (lost === 0 || (!isEmpty && !isSteep)) {
      this.#since.delete(key);
      return false;
    }
    const now = this.#clock.now();
    const since = this.#since.get(key);
    if (since === undefined) {
      this.#since.set(key, now);
      const rest = isEmpty
        ? 'they stay until it names some again; remove them by hand if they are gone for good'
        : `they leave if it still says so in ${HOLD_MS / 1000} s`;
      this.#log.warn(
        { source: key, members, named },
        `${key} no longer names ${lost} of its ${members} nodes; ${rest}`,
      );
    }
    if (isEmpty || since === undefined || now - since < HOLD_MS) return true;
    this.#since.delete(key);
    return false;
  }

  forget(key: string): void {
    this.#since.delete(key);
  }
}
