import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeShrink } from '../../../../src/envoy/endpoints/shrink-guard.ts';
import { setOf } from './fixtures.ts';

const FIVE = ['n1', 'n2', 'n3', 'n4', 'n5'];

describe('the shrink guard', () => {
  it.each([
    {
      name: 'nothing is lost',
      next: ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'],
      configured: [...FIVE, 'n6'],
      want: [],
    },
    { name: 'one of five is lost', next: ['n1', 'n2', 'n3', 'n4'], configured: FIVE, want: [] },
    { name: 'two of five are lost', next: ['n1', 'n2', 'n3'], configured: FIVE, want: [] },
    { name: 'F90 three of five are lost', next: ['n1', 'n2'], configured: FIVE, want: ['n3', 'n4', 'n5'] },
    { name: 'all are lost', next: [], configured: FIVE, want: FIVE },
    { name: 'four of five were taken out of the configuration', next: ['n1'], configured: ['n1'], want: [] },
    { name: 'the configuration was emptied', next: [], configured: [], want: [] },
    { name: 'all five were replaced', next: ['m1', 'm2'], configured: ['m1', 'm2'], want: [] },
    { name: 'some were taken out and the rest is lost', next: [], configured: ['n1'], want: ['n1'] },
  ])('$name', ({ next, configured, want }) => {
    const verdict = judgeShrink(setOf(...FIVE), setOf(...next), new Set(configured));
    expect(verdict).toEqual(want.length === 0 ? { kind: 'publish' } : { kind: 'hold', lost: want });
  });

  it('the only node is not lost by accident', () => {
    expect(judgeShrink(setOf('n1'), setOf(), new Set(['n1'])).kind).toBe('hold');
  });

  it('one of two may go: it is less than two', () => {
    expect(judgeShrink(setOf('n1', 'n2'), setOf('n1'), new Set(['n1', 'n2'])).kind).toBe('publish');
  });

  it('never lets an empty set through while a published node is configured', () => {
    const names = fc.uniqueArray(fc.constantFrom(...FIVE), { minLength: 1 });
    fc.assert(
      fc.property(names, names, (published, configured) => {
        const verdict = judgeShrink(setOf(...published), setOf(), new Set(configured));
        const isLost = published.some((node) => configured.includes(node));
        expect(verdict.kind).toBe(isLost ? 'hold' : 'publish');
      }),
    );
  });
});
