import { type Facts, freeSlots } from '../facts.ts';
import type { RoutingParams } from '../params.ts';
import type { Question } from '../question.ts';
import { restOfLoadSeconds } from './load.ts';

/**
 * Seconds until a slot is free for the request: until as many of the running requests have ended as stand before it, in
 * the node's own queue and in the line. A request that changes the context waits until all have ended: Ollama reloads a
 * model only then. A busy answer (429, 503) counts until the time that the node asked for. `startsLoad`: a cold node could
 * begin at once; those who wait before this request cannot take it from it.
 */
export function slotWaitSeconds(facts: Facts, question: Question, startsLoad: boolean): number {
  const { state, node, onModel, admitted, service } = facts;
  if (state === 'none') return 0;
  const busy = Math.max(0, node.busyUntil - question.now) / 1000;
  if (state === 'reload') return busy + (onModel > 0 ? endSeconds(facts, question, onModel, 0) : 0);
  const ahead = state === 'cold' && startsLoad ? 0 : question.aheadEach;
  if (freeSlots(facts) > 0)
    return state === 'cold'
      ? busy + (ahead * (service.promptSeconds + service.answerSeconds)) / admitted
      : busy;
  // What is left of a load is a term of its own; all who wait for it end after it.
  const rest = state === 'loading' ? restOfLoadSeconds(facts, question) : 0;
  const end = endSeconds(facts, question, Math.max(1, onModel - admitted + 1) + ahead, rest);
  return busy + Math.max(0, end - rest);
}

/** Whether a slot is free for the request right now. */
export function hasFreeSlot(facts: Facts, now: number): boolean {
  return freeSlots(facts) > 0 && facts.node.busyUntil <= now;
}

/** Seconds that a request is expected to last still. One that is late lasts on: the later it is, the longer. */
export function secondsLeft(end: number, heldSeconds: number, params: RoutingParams, now: number): number {
  const seconds = (end - now) / 1000;
  const least = params.leastLeftShare * heldSeconds;
  return seconds >= 0 ? Math.max(seconds, least) : least - params.overdueShare * seconds;
}

/**
 * Seconds until so many requests for the model have ended. Of ours it is known when they should; those of other replicas
 * end one after the other, on each slot. A part of a request counts as that part of its time.
 */
function endSeconds(facts: Facts, question: Question, count: number, restSeconds: number): number {
  const { node, onModel, admitted, service } = facts;
  const { inflight, request, params, now } = question;
  const heldSeconds = service.promptSeconds + service.answerSeconds;
  const perEnd = heldSeconds / admitted;
  const left: number[] = [];
  for (const end of onModel === 0 ? [] : inflight.expectedEnds(node.id, request.model.key))
    left.push(secondsLeft(end, heldSeconds, params, now));
  const others = Math.min(onModel - left.length, Math.ceil(count));
  for (let i = 1; i <= others; i += 1) left.push(restSeconds + perEnd * i);
  left.sort(bySize);
  const known = Math.min(Math.floor(count), left.length);
  return (left[known - 1] ?? restSeconds) + (count - known) * perEnd;
}

function bySize(a: number, b: number): number {
  return a - b;
}
