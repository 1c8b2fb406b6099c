const FIRST_MS = 100;
const LONGEST_MS = 10_000;

/** Delay before the next start: 100 ms doubled with every quick exit in a row, at most 10 s. */
export function backoffMs(quickExits: number): number {
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.max(0, quickExits - 1));
}
