import { describe, expect, it } from 'vitest';
import { farFuture, goTime, parseGoDuration } from '../../src/demo/go-time.ts';

describe('Go durations', () => {
  it.each([
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1_500],
    ['100ms', 100],
    ['-1s', -1_000],
    ['0', 0],
    ['soon', undefined],
    ['5', undefined],
    ['', undefined],
    ['5m later', undefined],
  ])('%j is %s ms', (text, ms) => {
    expect(parseGoDuration(text)).toBe(ms);
  });
});

describe('Go times', () => {
  it.each([
    ['2026-11-21T08:32:00.625Z', '2026-11-21T08:32:00.625Z'],
    ['2026-11-21T08:32:00.620Z', '2026-11-21T08:32:00.62Z'],
    ['2026-11-21T08:32:00.000Z', '2026-11-21T08:32:00Z'],
  ])('%s is written %s', (iso, written) => {
    expect(goTime(new Date(iso))).toBe(written);
  });

  it('puts for ever about 292 years ahead', () => {
    expect(goTime(farFuture(new Date('2026-11-21T00:00:00Z')))).toMatch(/^2319-/);
  });
});
