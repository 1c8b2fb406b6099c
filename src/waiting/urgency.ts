import { REQUEST_CLASSES, type RequestClass, type Waiter } from './types.ts';

/** Tokens that make no difference between callers: about one short answer. Model affinity and arrival decide then. */
const SHARE_STEP = 1_024;

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

/** Whether `a` goes before `b`. The penalties are those of model affinity: it counts after class and fairness. */
export function isBefore(a: Urgency, b: Urgency, penaltyA = 0, penaltyB = 0): boolean {
  if (a.level !== b.level) return a.level < b.level;
  if (a.share !== b.share) return a.share < b.share;
  if (a.running !== b.running) return a.running < b.running;
  if (penaltyA !== penaltyB) return penaltyA < penaltyB;
  return a.order < b.order;
}
