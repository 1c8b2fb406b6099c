import type { Random } from './random.ts';

/**
 * The best few of many, best first, without sorting the many. Equal costs are ordered by chance; the random source is
 * asked only for entries that may get in.
 */
export class Shortlist<T> {
  readonly items: T[] = [];
  readonly seconds: number[] = [];
  readonly ties: number[] = [];
  readonly #capacity: number;
  readonly #random: Random;

  constructor(capacity: number, random: Random) {
    this.#capacity = capacity;
    this.#random = random;
  }

  /** What an entry must not exceed to get in. */
  get worst(): number {
    const last = this.seconds.at(-1);
    return last === undefined || this.items.length < this.#capacity ? Number.POSITIVE_INFINITY : last;
  }

  offer(item: T, seconds: number): void {
    if (seconds > this.worst) return;
    this.#insert(item, seconds, this.#random());
  }

  #insert(item: T, seconds: number, tie: number): void {
    let at = this.items.length;
    while (at > 0) {
      const before = this.seconds[at - 1] ?? 0;
      if (before < seconds || (before === seconds && (this.ties[at - 1] ?? 0) <= tie)) break;
      at -= 1;
    }
    if (at >= this.#capacity) return;
    this.items.splice(at, 0, item);
    this.seconds.splice(at, 0, seconds);
    this.ties.splice(at, 0, tie);
    if (this.items.length <= this.#capacity) return;
    this.items.pop();
    this.seconds.pop();
    this.ties.pop();
  }
}
