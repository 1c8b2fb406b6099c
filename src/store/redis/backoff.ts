import type { Random } from '../../app/ports.ts';

const FIRST_MS = 100;
const CAP_MS = 5_000;

/** How long to wait before try number `attempt` (from 1): doubling, capped, and spread so that replicas do not agree. */
export function retryDelayMs(attempt: number, random: Random): number {
  const full = Math.min(CAP_MS, FIRST_MS * 2 ** Math.min(attempt - 1, 10));
  return Math.round(full * (0.5 + random() / 2));
}
