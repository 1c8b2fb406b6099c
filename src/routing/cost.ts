import type { Facts } from './facts.ts';
import type { RoutingParams } from './params.ts';
import type { Question } from './question.ts';
import { believed, type Shown } from './service.ts';
import { mayStartNow } from './starts-now.ts';
import { type Eviction, evictionOf } from './terms/eviction.ts';
import { loadSeconds } from './terms/load.ts';
import { answerSeconds, crowdingSeconds, promptSeconds } from './terms/prompt.ts';
import { roundTripSeconds } from './terms/round-trip.ts';
import { hasFreeSlot, slotWaitSeconds } from './terms/slot-wait.ts';
import { trustSeconds } from './terms/trust.ts';
import type { CostTerms, PickReason, RankedNode } from './types.ts';

/** A day: more than anything takes, and little enough to add up and to write as JSON. */
const MAX_SECONDS = 86_400;

/** A node that takes part in a ranking. */
export interface Entry {
  readonly facts: Facts;
  readonly eviction: Eviction;
  readonly terms: CostTerms;
}

/** `facts` are the node's own; `shown` by all. */
export function entryOf(own: Facts, question: Question, shown: Shown): Entry {
  const facts = { ...own, service: believed(own.service, shown) };
  const eviction = evictionOf(facts, question);
  return { facts, eviction, terms: costOf(facts, eviction, question) };
}

/** The cost of one node, term by term. A node that reports nonsense gets no better than 0 and no worse than a day. */
function costOf(facts: Facts, eviction: Eviction, question: Question): CostTerms {
  const { params, now } = question;
  return {
    roundTrip: clamped(roundTripSeconds(facts)),
    slotWait: clamped(slotWaitSeconds(facts, question, mayStartNow(facts, eviction, now))),
    load: clamped(loadSeconds(facts, question, eviction.waitSeconds)),
    prompt: clamped(promptSeconds(facts, params)),
    answer: clamped(answerSeconds(facts, params)),
    eviction: clamped(eviction.seconds + crowdingSeconds(facts, params)),
    trust: clamped(trustSeconds(facts, params, now)),
  };
}

/** What the ranking tells of a node. */
export function rankedNode(
  { facts, eviction, terms }: Entry,
  seconds: number,
  question: Question,
  isResort: boolean,
): RankedNode {
  return {
    id: facts.node.id,
    address: facts.node.address ?? '',
    seconds,
    ...expectedSeconds(terms),
    terms,
    reason: isResort ? 'last_resort' : reasonOf(facts, eviction, question.now),
    isWarm: facts.state === 'warm',
    startsNow: mayStartNow(facts, eviction, question.now),
    cachedBytes: facts.cachedBytes,
  };
}

export function reasonOf(facts: Facts, eviction: Eviction, now: number): PickReason {
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
      return eviction.placement;
  }
}

/**
 * The sum in steps of 20 ms, of 100 ms above 1 s, and of 0.5 s above 10 s: estimates are no finer than that, and nodes
 * that are practically equal should share the load by chance. `worth`: what a further copy of the model is worth to those who
 * come later; that part of a load is theirs.
 */
export function totalSeconds(terms: CostTerms, params: RoutingParams, worth = 0): number {
  const { roundTrip, slotWait, load, prompt, answer, eviction, trust } = terms;
  const paid = Math.max(params.leastLoadShare * load, load - worth);
  const sum = roundTrip + slotWait + paid + prompt + params.answerShare * answer + eviction + trust;
  if (sum < 1) return Math.round(sum * 50) / 50;
  if (sum < 10) return Math.round(sum * 10) / 10;
  return Math.round(sum * 2) / 2;
}

/** What of the terms the client sees, and how long the node is held. */
function expectedSeconds(
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
