import { expect, it } from 'vitest';
import { formatAge, formatBytes, formatSeconds } from '../../../src/cli/units.ts';

it.each([
  [0, '0 B'],
  [-5, '0 B'],
  [999, '999 B'],
  [1024, '1.0 KiB'],
  [5.2 * 2 ** 30, '5.2 GiB'],
  [24 * 2 ** 30, '24.0 GiB'],
  [812 * 2 ** 20, '812 MiB'],
  [1010 * 2 ** 20, '1.0 GiB'],
  [2 ** 60, '1024 PiB'],
])('%f bytes are %s', (bytes, want) => expect(formatBytes(bytes)).toBe(want));

it.each([
  [0, '0 ms'],
  [840, '840 ms'],
  [12_900, '12 s'],
  [99_999, '99 s'],
  [100_000, '1 min'],
  [3_600_000, '1 h 00 min'],
  [11_220_000, '3 h 07 min'],
  [90_000_000, '1 d 1 h'],
  [-3, '0 ms'],
])('%i ms are %s', (ms, want) => expect(formatAge(ms)).toBe(want));

it.each([
  [0, '0'],
  [0.0004, '0.0004'],
  [0.12, '0.120'],
  [3.2, '3.20'],
  [148.4, '148'],
])('%f seconds are %s', (seconds, want) => expect(formatSeconds(seconds)).toBe(want));
