import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BodyBudget } from '../../../../src/envoy/processor/body-budget.ts';

function setUp(limit: number) {
  const budget = new BodyBudget(limit);
  const admitted: string[] = [];
  const reserve = (name: string, bytes: number | undefined) =>
    budget.reserve(bytes, () => admitted.push(name));
  return { budget, admitted, reserve };
}

describe('the body budget', () => {
  it('admits in order of arrival, as room comes free', () => {
    const { admitted, reserve } = setUp(10);
    const a = reserve('a', 6);
    reserve('b', 6);
    reserve('c', 1);
    expect(admitted).toEqual(['a']);
    a();
    expect(admitted).toEqual(['a', 'b', 'c']);
  });

  it('admits a body larger than all of it alone', () => {
    const { admitted, reserve } = setUp(10);
    const a = reserve('a', 1);
    reserve('huge', 1_000);
    expect(admitted).toEqual(['a']);
    a();
    expect(admitted).toEqual(['a', 'huge']);
  });

  it('forgets those that leave while they wait', () => {
    const { admitted, reserve, budget } = setUp(10);
    const a = reserve('a', 10);
    const b = reserve('b', 10);
    reserve('c', 10);
    b();
    a();
    expect(admitted).toEqual(['a', 'c']);
    expect(budget.usedBytes).toBe(10);
  });

  it('counts a body of unknown length as a few MiB', () => {
    const { budget, reserve } = setUp(100 * 1024 * 1024);
    reserve('a', undefined);
    expect(budget.usedBytes).toBe(4 * 1024 * 1024);
  });

  it('never exceeds its limit and is empty in the end', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(20), fc.nat(5))), (steps) => {
        const { budget, reserve } = setUp(10);
        const releases: (() => void)[] = [];
        for (const [bytes, which] of steps) {
          releases.push(reserve('x', bytes));
          releases[which]?.();
          expect(budget.usedBytes).toBeLessThanOrEqual(10);
        }
        for (const release of releases) {
          release();
          release();
        }
        expect(budget.usedBytes).toBe(0);
      }),
    );
  });
});
