import type { ModelKey } from '../fleet/types.ts';
import type { FairShares } from './fair-shares.ts';
import { type Link, Queue } from './queue.ts';
import { REQUEST_CLASSES, type Waiter, type WaitReason } from './types.ts';
import { isBefore, levelOf, type Urgency, urgencyOf } from './urgency.ts';

/** A waiter and its place in the line. */
export interface Place<W extends Waiter> {
  readonly waiter: W;
  readonly group: Group<W>;
  /** Grows with every arrival. */
  readonly order: number;
  readonly rank: number;
  link: Link<Place<W>> | undefined;
}

type ByClass<W extends Waiter> = readonly Queue<Place<W>>[];

/** Waiters that any one slot suits equally: same model, same demands. Each caller's stand in order of arrival, by class. */
export class Group<W extends Waiter> {
  readonly key: string;
  readonly model: ModelKey;
  readonly among: Waiter['among'];
  /** Why they wait, as far as is known. */
  reason: WaitReason = 'slots_busy';
  /** Node on which the first of them would rather wait; undefined: none, or not known. */
  wants: string | undefined;
  /** How long others may go before its first there, ms. */
  patienceMs = Number.POSITIVE_INFINITY;
  /** Monotonic ms until when its last is not looked at again. */
  tailsAt = Number.NEGATIVE_INFINITY;
  /** Monotonic ms since when that node is given to others; undefined: it is not. */
  passedOverSince: number | undefined;
  /** Monotonic ms since when only nodes of the last resort are left for it; undefined: there are others. */
  resortSince: number | undefined;
  readonly #callers = new Map<string, ByClass<W>>();
  #size = 0;

  constructor(key: string, model: ModelKey, among?: Waiter['among']) {
    this.key = key;
    this.model = model;
    this.among = among;
  }

  get size(): number {
    return this.#size;
  }

  add(place: Place<W>): void {
    const { id } = place.waiter.caller;
    let queues = this.#callers.get(id);
    if (queues === undefined) {
      queues = REQUEST_CLASSES.map(() => new Queue<Place<W>>());
      this.#callers.set(id, queues);
    }
    place.link = queues[place.rank]?.add(place);
    this.#size += 1;
  }

  /** False when it was not there. */
  remove(place: Place<W>): boolean {
    const { id } = place.waiter.caller;
    const queues = this.#callers.get(id);
    if (queues === undefined || place.link === undefined) return false;
    queues[place.rank]?.remove(place.link);
    place.link = undefined;
    this.#size -= 1;
    if (queues.every(({ first }) => first === undefined)) this.#callers.delete(id);
    return true;
  }

  /** Whose turn it is. */
  head(shares: FairShares, ageingMs: number, now: number): Place<W> | undefined {
    return this.#extreme(shares, ageingMs, now, 'first', isBefore);
  }

  /** Who comes last. */
  tail(shares: FairShares, ageingMs: number, now: number): Place<W> | undefined {
    return this.#extreme(shares, ageingMs, now, 'last', (a, b) => isBefore(b, a));
  }

  /**
   * How many of them come before a newcomer, about: the more urgent ones, and of the others as many of each caller as the
   * newcomer's caller has before it, and one.
   */
  ahead(caller: string, rank: number, ageingMs: number, now: number): number {
    let urgent = 0;
    let own = 0;
    const others: number[] = [];
    for (const [id, queues] of this.#callers) {
      let equal = 0;
      for (const [place, queue] of queues.entries()) {
        for (let link = queue.first; link !== undefined; link = link.after) {
          const level = levelOf(place, link.item.waiter.since, ageingMs, now);
          if (level < rank) urgent += 1;
          else if (level === rank) equal += 1;
          // The rest of the queue came later: none of it is more urgent.
          else break;
        }
      }
      if (id === caller) own = equal;
      else if (equal > 0) others.push(equal);
    }
    return urgent + own + others.reduce((sum, each) => sum + Math.min(each, own + 1), 0);
  }

  *places(): Iterable<Place<W>> {
    for (const queues of this.#callers.values())
      for (const queue of queues)
        for (let link = queue.first; link !== undefined; link = link.after) yield link.item;
  }

  #extreme(
    shares: FairShares,
    ageingMs: number,
    now: number,
    end: 'first' | 'last',
    isBetter: (a: Urgency, b: Urgency) => boolean,
  ): Place<W> | undefined {
    let best: Place<W> | undefined;
    let bestUrgency: Urgency | undefined;
    for (const [caller, queues] of this.#callers) {
      const had = shares.had(caller);
      const running = shares.running(caller);
      for (const queue of queues) {
        const place = queue[end]?.item;
        if (place === undefined) continue;
        const urgency = urgencyOf(place, had, running, ageingMs, now);
        if (bestUrgency !== undefined && !isBetter(urgency, bestUrgency)) continue;
        best = place;
        bestUrgency = urgency;
      }
    }
    return best;
  }
}
