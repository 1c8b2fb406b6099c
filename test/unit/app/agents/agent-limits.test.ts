import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { partyOf, RateLimits, UsedOnce } from '../../../../src/app/agents/agent-limits.ts';

describe('rates', () => {
  it('let a burst pass, then what comes steadily', () => {
    const rates = new RateLimits({ burst: 3, perSecond: 2 }, 10);
    const taken = (now: number) => rates.take('a', now);
    expect([taken(0), taken(0), taken(0), taken(0)]).toEqual([true, true, true, false]);
    expect([taken(500), taken(500)]).toEqual([true, false]);
    expect(rates.take('b', 500)).toBe(true);
  });

  it('never let more pass than burst and rate allow, nor fill beyond the burst', () => {
    const waits = fc.array(fc.nat({ max: 400 }), { maxLength: 200 });
    fc.assert(
      fc.property(waits, (pauses) => {
        const rates = new RateLimits({ burst: 5, perSecond: 10 }, 10);
        let [now, passed] = [0, 0];
        for (const pause of pauses) {
          now += pause;
          if (rates.take('a', now)) passed += 1;
        }
        expect(passed).toBeLessThanOrEqual(5 + now / 100);
      }),
    );
  });

  it('looking takes nothing', () => {
    const rates = new RateLimits({ burst: 1, perSecond: 1 }, 10);
    expect([rates.has('a', 0), rates.has('a', 0), rates.take('a', 0), rates.has('a', 0)]).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });

  it('forget the party that was idle longest, and no more than must be', () => {
    const rates = new RateLimits({ burst: 1, perSecond: 0 }, 2);
    for (const party of ['a', 'b', 'a', 'c']) rates.take(party, 0);
    expect(rates.size).toBe(2);
    expect([rates.has('a', 0), rates.has('b', 0), rates.has('c', 0)]).toEqual([false, true, false]);
  });
});

describe('values that may be used once', () => {
  it('are remembered for their time', () => {
    const once = new UsedOnce(10);
    expect(once.claim('x', 0, 100)).toBe('first');
    expect(once.claim('x', 99, 100)).toBe('used');
    expect(once.claim('x', 100, 100)).toBe('first');
  });

  it('are refused beyond the cap until old ones are forgotten', () => {
    const once = new UsedOnce(2);
    expect([once.claim('a', 0, 100), once.claim('b', 10, 100), once.claim('c', 20, 100)]).toEqual([
      'first',
      'first',
      'full',
    ]);
    expect(once.claim('c', 105, 100)).toBe('first');
    expect(once.claim('b', 106, 100)).toBe('used');
    expect(once.size).toBe(2);
  });
});

it.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8:1:2::1', '2001:db8:1:2'],
  ['2001:db8::1', '2001:db8:0:0'],
  ['::1', '0:0:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['', ''],
])('%j counts as %j', (address, party) => {
  expect(partyOf(address)).toBe(party);
});
