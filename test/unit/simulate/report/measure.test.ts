import { describe, expect, it } from 'vitest';
import {
  geometricMean,
  jain,
  measure,
  quantile,
  UNSERVED_SECONDS,
} from '../../../../src/simulate/report/measure.ts';
import type { SimOutcome } from '../../../../src/simulate/types.ts';
import { comparedResult, outcome, smallScenario } from './builders.ts';

const measured = (outcomes: readonly SimOutcome[], classes: Parameters<typeof smallScenario>[0] = []) =>
  measure(comparedResult({ outcomes }), smallScenario(classes));

describe('measure', () => {
  it('counts seconds from arrival to first token, and to the end', () => {
    const found = measured([
      outcome(0, { arrivedAt: 1_000, firstTokenAt: 1_500, endedAt: 4_000 }),
      outcome(1, { arrivedAt: 2_000, firstTokenAt: 9_000, endedAt: 12_000 }),
    ]);
    expect(found).toMatchObject({
      ttftP50: 0.5,
      ttftP95: 7,
      completionP95: 10,
      promptShare: 0.5,
      requests: 2,
    });
  });

  it.each(['refused', 'failed', 'left'] as const)(
    'counts a request that was %s as the longest wait',
    (end) => {
      const found = measured([outcome(0, { end, firstTokenAt: undefined, endedAt: 100 })]);
      expect(found).toMatchObject({
        ttftP50: UNSERVED_SECONDS,
        completionP95: UNSERVED_SECONDS,
        unservedShare: 1,
      });
    },
  );

  it('counts a failure after the first token as a failure', () => {
    expect(measured([outcome(0, { end: 'failed', firstTokenAt: 10 })]).ttftP50).toBe(UNSERVED_SECONDS);
  });

  it('lets batch requests count by their end, not by their first token', () => {
    const late = { firstTokenAt: 60_000, endedAt: 70_000 };
    const found = measured([outcome(0, { firstTokenAt: 100 }), outcome(1, late)], ['normal', 'batch']);
    expect(found.ttftP99).toBe(0.1);
    expect(found.completionP95).toBe(70);
  });

  it('calls it fair when all clients are served alike, and less so when one waits', () => {
    const alike = [outcome(0, { firstTokenAt: 1_000 }), outcome(1, { firstTokenAt: 1_000 })];
    expect(measured(alike).fairness).toBe(1);
    expect(
      measured([outcome(0, { firstTokenAt: 0 }), outcome(1, { firstTokenAt: 99_000 })]).fairness,
    ).toBeLessThan(0.6);
  });

  it('refuses outcomes of another scenario', () => {
    expect(() => measured([outcome(7, {})])).toThrow('request 7 is not of scenario small');
  });
});

describe('quantile', () => {
  it.each([
    { share: 0.5, want: 2 },
    { share: 0.95, want: 4 },
    { share: 0, want: 1 },
    { share: 1, want: 4 },
  ])('at $share of 1, 2, 3, 4 is $want', ({ share, want }) => {
    expect(quantile([1, 2, 3, 4], share)).toBe(want);
  });

  it('of nothing is 0', () => {
    expect(quantile([], 0.5)).toBe(0);
  });
});

describe('means', () => {
  it('raises what is too small to matter before it multiplies', () => {
    expect(geometricMean([0, 10], 0.1)).toBeCloseTo(1);
  });

  it('gives 1/n where one has it all', () => {
    expect(jain([1, 0, 0, 0])).toBe(0.25);
    expect(jain([])).toBe(1);
  });
});
