import type { Caller } from './types.ts';

/** The longest wait that a client may ask for, whatever the configuration says. Envoy is told at start to allow as much. */
export const LONGEST_ASKED_WAIT_MS = 600_000;

/** The longest time that a request may be held for, loads included, ms. */
export function longestWaitMs({ maxWaitMs, hasOwnDeadline }: Caller): number {
  return hasOwnDeadline === true ? maxWaitMs : Math.max(maxWaitMs, LONGEST_ASKED_WAIT_MS);
}
