import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  isOwnerHour,
  minuteOfWeek,
  OwnerHoursError,
  parseOwnerHours,
} from '../../../src/agent/owner-hours.ts';
import { reportSchema } from '../../../src/app/agents/agent-protocol.ts';

const BERLIN = 'Europe/Berlin';
const inUse = (hours: string, at: string, zone = BERLIN) =>
  isOwnerHour(parseOwnerHours(hours), minuteOfWeek(new Date(at), zone));

describe('owner hours', () => {
  // 2026-01-05 is a Monday; Berlin is one hour ahead of UTC in winter, two in summer.
  it.each([
    ['Mon-Fri 18:00-23:00', '2026-01-05T16:59:59Z', false],
    ['Mon-Fri 18:00-23:00', '2026-01-05T17:00:00Z', true],
    ['Mon-Fri 18:00-23:00', '2026-01-05T21:59:59Z', true],
    ['Mon-Fri 18:00-23:00', '2026-01-05T22:00:00Z', false],
    ['Mon-Fri 18:00-23:00', '2026-01-10T18:00:00Z', false],
    ['mon-fri 18:00-23:00, Sat 10:00-24:00', '2026-01-10T22:59:00Z', true],
    ['Sat 10:00-24:00', '2026-01-10T23:00:00Z', false],
    ['18:00-23:00', '2026-01-11T17:30:00Z', true],
    ['Fri 22:00-02:00', '2026-01-10T00:30:00Z', true],
    ['Fri 22:00-02:00', '2026-01-10T01:00:00Z', false],
    ['Sunday 22:00 - 02:00', '2026-01-12T00:30:00Z', true],
    ['Sunday 22:00 - 02:00', '2026-01-12T01:00:00Z', false],
    ['Sun 00:00-24:00', '2026-01-11T22:59:59Z', true],
    ['Sun 00:00-24:00', '2026-01-11T23:00:00Z', false],
    ['Sat-Mon 08:00-09:00', '2026-01-12T07:30:00Z', true],
    ['Sat-Mon 08:00-09:00', '2026-01-13T07:30:00Z', false],
    ['', '2026-01-05T17:00:00Z', false],
  ])('%s at %s: %s', (hours, at, expected) => {
    expect(inUse(hours, at)).toBe(expected);
  });

  it('follow the clock on the wall when it changes (F85)', () => {
    // 18:00 is 17:00 UTC before, 16:00 UTC after the night of 29 March 2026.
    expect(inUse('18:00-23:00', '2026-03-28T16:30:00Z')).toBe(false);
    expect(inUse('18:00-23:00', '2026-03-29T16:30:00Z')).toBe(true);
    // The hour from 2 to 3 happens twice in the night of 25 October 2026, and never in that of 29 March.
    expect(inUse('Sun 02:00-03:00', '2026-10-25T00:30:00Z')).toBe(true);
    expect(inUse('Sun 02:00-03:00', '2026-10-25T01:30:00Z')).toBe(true);
    expect(inUse('Sun 02:00-03:00', '2026-10-25T02:00:00Z')).toBe(false);
    expect(inUse('Sun 02:00-03:00', '2026-03-29T00:59:59Z')).toBe(false);
    expect(inUse('Sun 02:00-03:00', '2026-03-29T01:00:00Z')).toBe(false);
  });

  it('hold in exactly the minutes that were written, on any day of any span', () => {
    const days = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
    const time = (minute: number) =>
      `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
    const minute = fc.integer({ min: 0, max: 1439 });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 6 }),
        minute,
        minute,
        fc.integer({ min: 0, max: 10_079 }),
        (day, from, to, at) => {
          fc.pre(from !== to);
          const spans = parseOwnerHours(`${days[day]} ${time(from)}-${time(to)}`);
          expect(reportSchema.shape.ownerHours.safeParse(spans).success).toBe(true);
          const length = (to - from + 1440) % 1440;
          const since = (at - (day * 1440 + from) + 10_080) % 10_080;
          expect(isOwnerHour(spans, at)).toBe(since < length);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('know the minute of the week in any zone at any moment', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true }),
        fc.constantFrom(
          'UTC',
          BERLIN,
          'America/New_York',
          'Asia/Kathmandu',
          'Pacific/Kiritimati',
          'Australia/Lord_Howe',
        ),
        (date, zone) => {
          const found = minuteOfWeek(date, zone);
          expect(Number.isInteger(found) && found >= 0 && found < 10_080).toBe(true);
          // A wall shows UTC moved by whole minutes, 14 hours at the most.
          const utc = minuteOfWeek(date, 'UTC');
          const away = Math.min((found - utc + 10_080) % 10_080, (utc - found + 10_080) % 10_080);
          expect(away).toBeLessThanOrEqual(14 * 60);
        },
      ),
    );
  });

  it.each([
    ['Mon 25:00-26:00', 'have no time 25:00'],
    ['Mon 10:60-11:00', 'have no time 10:60'],
    ['Moonday 10:00-11:00', 'name no day by "Moonday"'],
    ['10-11', 'are not days and hours'],
    ['Mon 10:00-10:00', '00:00-24:00'],
    ['Mon 24:00-01:00', 'begin at 24:00'],
    [Array.from({ length: 10 }, () => '10:00-11:00').join(', '), 'write fewer'],
  ])('are refused with the reason: %s', (hours, reason) => {
    expect(() => parseOwnerHours(hours)).toThrow(OwnerHoursError);
    expect(() => parseOwnerHours(hours)).toThrow(reason);
  });
});
