import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FairShares } from '../../../src/waiting/fair-shares.ts';

it('starts a newcomer where the others are, not at zero', () => {
  const shares = new FairShares();
  shares.waits('a');
  shares.starts('a', 500, true);
  shares.waits('b');
  expect(shares.had('b')).toBe(shares.had('a'));
  expect(shares.had('nobody')).toBe(shares.had('b'));
});

it('holds what was free for all against nobody for long', () => {
  const shares = new FairShares();
  shares.starts('b', 1, false);
  for (let i = 0; i < 1_000; i += 1) {
    shares.starts('a', 1_000, false);
    shares.ends('a');
  }
  expect(shares.had('a') - shares.had('nobody')).toBeLessThanOrEqual(16_384);
});

it('forgets who has had no more than is fair', () => {
  const shares = new FairShares();
  shares.starts('a', 1_000, false);
  shares.ends('a');
  const fair = shares.had('a');
  shares.starts('b', 10_000, false);
  shares.ends('b');
  expect(shares.had('a')).toBeGreaterThan(fair);
});

it('survives any order of events: shares are finite and never negative', () => {
  const event = fc.tuple(
    fc.constantFrom('waits', 'leaves', 'starts', 'startsWaiting', 'ends', 'corrects' as const),
    fc.constantFrom('a', 'b', 'c'),
    fc.integer({ min: 1, max: 1e6 }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 300 }), (events) => {
      const shares = new FairShares();
      for (const [kind, caller, tokens] of events) {
        if (kind === 'waits') shares.waits(caller);
        else if (kind === 'leaves') shares.leaves(caller);
        else if (kind === 'starts') shares.starts(caller, tokens, false);
        else if (kind === 'startsWaiting') shares.starts(caller, tokens, true);
        else if (kind === 'ends') shares.ends(caller);
        else shares.corrects(caller, -tokens);
        for (const name of ['a', 'b', 'c', 'd']) {
          expect(Number.isFinite(shares.had(name))).toBe(true);
          expect(shares.had(name)).toBeGreaterThanOrEqual(0);
          expect(shares.running(name)).toBeGreaterThanOrEqual(0);
        }
      }
    }),
  );
});
