import type { Estimate } from './types.ts';

/** What kind of figure an estimate holds: how it takes new samples in, and how it ages. */
export interface EstimateKind {
  /** Half of its weight is gone after this time without samples. */
  readonly halfLifeMs: number;
  /** Samples that it remembers: a new one counts at least `1 / memory`. */
  readonly memory: number;
  /** A sample counts up to so many spreads above, or below, the value: where one side lies more often, it is the lower. */
  readonly above: number;
  readonly below: number;
  /** No value lies outside. */
  readonly least: number;
  readonly most: number;
  /** Smallest spread, in the figure's unit, so that a value near 0 can move. */
  readonly grain: number;
}

/** The spread is never believed to be smaller than this share of the value. */
const LEAST_SPREAD = 0.05;
/** Spread after one sample, as a share of it. */
const FIRST_SPREAD = 0.5;
/** How fast the spread follows, and by how many spreads a single sample may widen it. */
const SPREAD_SHARE = 0.2;
const SPREAD_REACH = 4;
/** A sample that had to be cut off casts doubt on all before it: a few in a row, and new ones count for more. */
const SURPRISE = 0.2;
/** Less is no sample. */
const LEAST_WEIGHT = 1e-6;
/** A value known from few samples moves more freely. */
const FEW = 2;

/**
 * The estimate after one more sample; `weight` below 1 is a sample that says less. A single wild sample moves the value by
 * little, as it is cut off at a few spreads; when it was no accident, the spread widens with every further one and the
 * value follows. Samples that are no number change nothing.
 */
export function estimateAfter(
  before: Estimate | undefined,
  sample: number,
  at: number,
  kind: EstimateKind,
  weight = 1,
): Estimate | undefined {
  if (!Number.isFinite(sample) || !Number.isFinite(at) || !(weight > LEAST_WEIGHT)) return before;
  const counted = Math.min(1, weight);
  const seen = within(sample, kind.least, kind.most);
  if (before === undefined) {
    return { value: seen, spread: Math.max(kind.grain, FIRST_SPREAD * seen), weight: counted, at };
  }
  const held = weightAt(before, at, kind);
  const spread = Math.max(before.spread, LEAST_SPREAD * before.value, kind.grain);
  const reach = spread * (1 + FEW / Math.max(1e-3, held));
  const away = seen - before.value;
  const step = within(away, -kind.below * reach, kind.above * reach);
  const share = Math.max(counted / (held + counted), counted / kind.memory);
  const spreadShare = Math.max(share, SPREAD_SHARE * counted);
  return {
    value: within(before.value + share * step, kind.least, kind.most),
    spread: spread + spreadShare * (Math.min(Math.abs(away), SPREAD_REACH * reach) - spread),
    weight: step === away ? Math.min(kind.memory, held + counted) : held + (counted - held) * SURPRISE,
    at,
  };
}

/** How much the estimate is worth at `now`, Unix ms: samples, faded with age. */
export function weightAt(estimate: Estimate, now: number, kind: EstimateKind): number {
  const ageMs = Math.max(0, now - estimate.at);
  return Math.min(kind.memory, Math.max(0, estimate.weight)) * 2 ** (-ageMs / kind.halfLifeMs);
}

function within(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
