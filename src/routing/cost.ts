import type { RouteRequest } from '../request/types.ts';
import type { Facts } from './facts.ts';
import type { RoutingParams } from './params.ts';
import { evictionSeconds, placementOf } from './terms/eviction.ts';
import { loadSeconds } from './terms/load.ts';
import { prefillSeconds, roundTripSeconds } from './terms/round-trip.ts';
import { hasFreeSlot, slotWaitSeconds } from './terms/slot-wait.ts';
import { trustSeconds } from './terms/trust.ts';
import type { CostTerms, Inflight, PickReason, RankedNode } from './types.ts';

/** A day: more than anything takes, and little enough to add up and to write as JSON. */
const MAX_SECONDS = 86_400;

/** The cost of one node, term by term. A node that reports nonsense gets no better than 0 and no worse than a day. */
export function costOf(
  facts: Facts,
  request: RouteRequest,
  inflight: Inflight,
  params: RoutingParams,
  now: number,
): CostTerms {
  return {
    roundTrip: clamped(roundTripSeconds(facts)),
    slotWait: clamped(slotWaitSeconds(facts, params, now)),
    load: clamped(loadSeconds(facts, params)),
    prompt: clamped(facts.state === 'none' ? 0 : prefillSeconds(request, params) / facts.weight),
    answer: clamped(facts.state === 'none' ? 0 : facts.serviceSeconds / facts.weight),
    eviction: clamped(evictionSeconds(facts, inflight, params)),
    trust: clamped(trustSeconds(facts, params, now)),
  };
}

export function reasonOf(facts: Facts, params: RoutingParams, now: number): PickReason {
  switch (facts.state) {
    case 'none':
      return 'any';
    case 'warm':
      return hasFreeSlot(facts, now) ? 'warm_idle' : 'warm_busy';
    case 'loading':
      return 'loading';
    case 'reload':
      return 'loads_beside';
    case 'cold':
      return placementOf(facts, params);
  }
}

/**
 * The sum in steps of 10 ms, of 100 ms above 1 s, and of 1 s above 10 s: estimates are no finer than that, and nodes
 * that are practically equal should share the load by chance.
 */
export function totalSeconds(terms: CostTerms): number {
  const sum = terms.roundTrip + terms.slotWait + terms.load + terms.prompt + terms.eviction + terms.trust;
  if (sum < 1) return Math.round(sum * 100) / 100;
  if (sum < 10) return Math.round(sum * 10) / 10;
  return Math.round(sum);
}

/** What of the terms the client sees, and how long the node is held. */
export function expectedSeconds(
  terms: CostTerms,
): Pick<RankedNode, 'firstTokenSeconds' | 'completionSeconds' | 'heldSeconds'> {
  const { roundTrip, slotWait, load, prompt, answer } = terms;
  const firstTokenSeconds = roundTrip + slotWait + load + prompt;
  return {
    firstTokenSeconds,
    completionSeconds: firstTokenSeconds + answer,
    heldSeconds: load + prompt + answer,
  };
}

function clamped(seconds: number): number {
  if (Number.isNaN(seconds)) return MAX_SECONDS;
  return Math.min(MAX_SECONDS, Math.max(0, seconds));
}
