import { fastestResponse } from './fastest-response.ts';
import { HerdScore } from './herd-score.ts';
import { leastInFlight } from './least-in-flight.ts';
import type { RivalName } from './names.ts';
import { prefixHash } from './prefix-hash.ts';
import { random } from './random.ts';
import { roundRobin } from './round-robin.ts';
import { TierScore } from './tier-score.ts';
import type { RivalPolicy } from './types.ts';

const RIVALS = {
  random,
  'round-robin': roundRobin,
  'least-in-flight': leastInFlight,
  'fastest-response': fastestResponse,
  'herd-score': () => new HerdScore(),
  'tier-score': () => new TierScore(),
  'prefix-hash': prefixHash,
} as const satisfies Record<RivalName, () => RivalPolicy>;

/** A policy with a state of its own: one for each fleet that it decides about. */
export function createRival(name: RivalName): RivalPolicy {
  return RIVALS[name]();
}
