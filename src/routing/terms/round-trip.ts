import type { Facts } from '../facts.ts';

/** The network. */
export function roundTripSeconds(facts: Facts): number {
  return facts.node.rttMs / 1000;
}
