import { REQUEST_CLASSES, type RequestClass, type Waiter } from './types.ts';

/** Tokens that make no difference between callers: about one short answer. Model affinity and arrival decide then. */
const SHARE_STEP = 1_024;
/** Steps by which a caller may get ahead because its model is in memory already. */
const AFFINITY_STEPS = 16;

/** By what waiters are put in order, most important first; smaller goes first. */
export interface Urgency {
  /** Class, less one for each span of ageing. */
  readonly level: number;
  /** What its caller has had, in steps. */
  readonly share: number;
  /** Requests of its caller that run now. */
  readonly running: number;
  readonly order: number;
}

export function classRank(name: RequestClass): number {
  return REQUEST_CLASSES.indexOf(name);
}

/** Class and age in one; never more urgent than the most urgent class, so that fairness holds in a long line too. */
export function levelOf(rank: number, since: number, ageingMs: number, now: number): number {
  return Math.max(0, rank - Math.floor(Math.max(0, now - since) / ageingMs));
}

export function urgencyOf(
  place: { readonly rank: number; readonly order: number; readonly waiter: Waiter },
  had: number,
  running: number,
  ageingMs: number,
  now: number,
): Urgency {
  return {
    level: levelOf(place.rank, place.waiter.since, ageingMs, now),
    share: Math.floor(had / SHARE_STEP),
    running,
    order: place.order,
  };
}

/**
 * Whether `a` goes before `b`. The penalties are those of model affinity: a load costs everybody, so it decides between callers
 * who have had about the same, and before arrival.
 */
export function isBefore(a: Urgency, b: Urgency, penaltyA = 0, penaltyB = 0): boolean {
  if (a.level !== b.level) return a.level < b.level;
  if (penaltyA !== penaltyB && Math.abs(a.share - b.share) <= AFFINITY_STEPS) return penaltyA < penaltyB;
  if (a.share !== b.share) return a.share < b.share;
  if (a.running !== b.running) return a.running < b.running;
  return a.order < b.order;
}
