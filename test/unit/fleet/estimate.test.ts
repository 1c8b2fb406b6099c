import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type EstimateKind, estimateAfter, weightAt } from '../../../src/fleet/estimate.ts';
import type { Estimate } from '../../../src/fleet/types.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const HOUR = 3_600_000;
const KIND: EstimateKind = {
  halfLifeMs: 24 * HOUR,
  memory: 6,
  above: 3,
  below: 3,
  least: 0.01,
  most: 1e6,
  grain: 0.01,
};

/** The estimate after samples a second apart. */
function estimated(samples: readonly number[], from?: Estimate, kind = KIND): Estimate {
  let estimate = from;
  let at = from?.at ?? 0;
  for (const sample of samples) {
    at += 1_000;
    estimate = estimateAfter(estimate, sample, at, kind);
  }
  if (estimate === undefined) throw new Error('no sample');
  return estimate;
}

/** Around `value`, by a fifth to both sides, every twentieth ten times as large or small. */
function noisy(value: number, count: number, random: () => number): number[] {
  return Array.from({ length: count }, () => {
    const around = value * (1 + 0.4 * (random() - 0.5));
    if (random() >= 0.05) return around;
    return random() < 0.5 ? around * 10 : around / 10;
  });
}

describe('an estimate', () => {
  it('is the first sample, then near the mean of the first few', () => {
    expect(estimated([100]).value).toBe(100);
    expect(estimated([100, 120]).value).toBeCloseTo(110);
    expect(estimated([100, 120, 80, 100]).value).toBeCloseTo(100);
  });

  it('hardly moves for one wild sample among many', () => {
    const usual = estimated(Array.from({ length: 20 }, (_, i) => 100 + (i % 3)));
    expect(estimated([10_000], usual).value).toBeLessThan(105);
    expect(estimated([0.1], usual).value).toBeGreaterThan(95);
  });

  it('comes within 15 % of the truth in 30 noisy samples, 5 % of them outliers', () => {
    const random = seededRandom(1);
    const far = Array.from({ length: 400 }, () => estimated(noisy(50, 30, random)).value).filter(
      (value) => Math.abs(value - 50) > 7.5,
    );
    expect(far.length).toBeLessThan(12);
  });

  it.each([0.3, 0.5, 2, 5])('follows a real change by the factor %d within 30 samples', (factor) => {
    const random = seededRandom(2);
    const far = Array.from({ length: 400 }, () => {
      const before = estimated(noisy(50, 60, random));
      return estimated(noisy(50 * factor, 30, random), before).value / (50 * factor);
    }).filter((ratio) => Math.abs(ratio - 1) > 0.15);
    expect(far.length).toBeLessThan(20);
  });

  it('takes the new for the old when what it knew has aged', () => {
    const old = estimated(Array.from({ length: 20 }, () => 100));
    const late = estimateAfter(old, 20, old.at + 20 * KIND.halfLifeMs, KIND);
    expect(late?.value).toBeCloseTo(20, 0);
    expect(late?.weight).toBeCloseTo(1, 2);
  });

  it('halves its weight with each half-life', () => {
    const estimate = estimated([1, 1, 1, 1]);
    expect(weightAt(estimate, estimate.at, KIND)).toBeCloseTo(4, 3);
    expect(weightAt(estimate, estimate.at + KIND.halfLifeMs, KIND)).toBeCloseTo(2, 3);
    expect(weightAt(estimate, estimate.at - HOUR, KIND)).toBeCloseTo(4, 3);
  });

  it('moves less for a sample that says less', () => {
    const known = estimated([100, 100]);
    const moved = (weight: number) => (estimateAfter(known, 120, known.at, KIND, weight)?.value ?? 0) - 100;
    expect(moved(0.1)).toBeGreaterThan(0);
    expect(moved(0.1)).toBeLessThan(moved(1) / 2);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'learns nothing from %d',
    (sample) => {
      const known = estimated([100]);
      expect(estimateAfter(known, sample, 2_000, KIND)).toBe(known);
      expect(estimateAfter(undefined, sample, 2_000, KIND)).toBeUndefined();
      expect(estimateAfter(known, 5, sample, KIND)).toBe(known);
      expect(estimateAfter(known, 5, 2_000, KIND, sample === Number.POSITIVE_INFINITY ? 0 : sample)).toBe(
        known,
      );
    },
  );

  it('is always a finite number within its bounds, whatever is fed to it, from whatever was stored', () => {
    const number = fc.oneof(fc.double(), fc.double({ min: 0, max: 1e9, noNaN: true }), fc.constant(0));
    const stored = fc.record({
      value: fc.double({ min: 0, max: 1e15, noNaN: true }),
      spread: fc.double({ min: 0, max: 1e15, noNaN: true }),
      weight: fc.double({ min: 0, max: 1e9, noNaN: true }),
      at: fc.double({ min: 0, max: 1e15, noNaN: true }),
    });
    const kind = fc.record({
      halfLifeMs: fc.integer({ min: 1, max: 1e10 }),
      memory: fc.integer({ min: 1, max: 100 }),
      above: fc.integer({ min: 0, max: 10 }),
      below: fc.integer({ min: 0, max: 10 }),
      least: fc.constantFrom(0, 0.01, 1),
      most: fc.constantFrom(1, 1e7),
      grain: fc.constantFrom(0, 0.01, 1),
    });
    fc.assert(
      fc.property(
        fc.option(stored, { nil: undefined }),
        fc.array(fc.tuple(number, number, number), { maxLength: 30 }),
        kind,
        (first, samples, k) => {
          let estimate: Estimate | undefined = first;
          for (const [sample, at, weight] of samples) {
            const next = estimateAfter(estimate, sample, at, k, weight);
            if (next === estimate) continue;
            estimate = next;
            if (estimate === undefined) throw new Error('what was known is gone');
            expect(estimate.value).toBeGreaterThanOrEqual(k.least);
            expect(estimate.value).toBeLessThanOrEqual(k.most);
            expect(estimate.spread).toBeGreaterThanOrEqual(0);
            expect(Number.isFinite(estimate.spread)).toBe(true);
            expect(estimate.weight).toBeGreaterThan(0);
            expect(estimate.weight).toBeLessThanOrEqual(k.memory);
          }
        },
      ),
    );
  });
});
