import { expect, it } from 'vitest';
import { retryDelayMs } from '../../../src/store/redis/backoff.ts';

it.each([
  [1, 50, 100],
  [2, 100, 200],
  [5, 800, 1_600],
  [7, 2_500, 5_000],
  [1_000, 2_500, 5_000],
])('waits between half and all of a doubling, capped time: attempt %i', (attempt, least, most) => {
  expect(retryDelayMs(attempt, () => 0)).toBe(least);
  expect(retryDelayMs(attempt, () => 1)).toBe(most);
});
