import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isoSeconds } from '../../../src/fleet/iso-time.ts';

it('agrees with Date on every time that Date can write', () => {
  const date = fc.date({ min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59Z') });
  fc.assert(
    fc.property(
      date.filter((d) => !Number.isNaN(d.getTime())),
      (d) => {
        expect(isoSeconds(d.toISOString())).toBeCloseTo(d.getTime() / 1000, 2);
      },
    ),
  );
});

it.each([
  ['2026-11-21T08:32:00.625Z', '2026-11-21T08:32:00.625Z'],
  ['2026-11-21T10:32:00.625123456+02:00', '2026-11-21T08:32:00.625Z'],
  ['2026-11-21T00:32:00-08:00', '2026-11-21T08:32:00Z'],
  ['2319-01-01T00:00:00Z', '2319-01-01T00:00:00Z'],
  ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00Z'],
])('reads %s', (text, same) => {
  expect(isoSeconds(text)).toBeCloseTo(Date.parse(same) / 1000, 2);
});

it.each(['', 'yesterday', '2026-11-21', '<b>2026-11-21T08:32:00Z</b>'])('takes %j for no time', (text) => {
  expect(isoSeconds(text)).toBe(0);
});
