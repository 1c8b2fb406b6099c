import { type Facts, freeSlots } from '../facts.ts';
import type { Question } from '../question.ts';

/**
 * Seconds until a slot is free for the request: until as many of the running requests have ended as stand before it, in
 * the node's own queue and in the line. A request that changes the context waits until all have ended: Ollama reloads a
 * model only then. A busy answer (429, 503) counts until the time that the node asked for.
 */
export function slotWaitSeconds(facts: Facts, question: Question): number {
  const { state, node, onModel, admitted } = facts;
  if (state === 'none') return 0;
  const busy = Math.max(0, node.busyUntil - question.now) / 1000;
  if (state === 'reload') return busy + (onModel > 0 ? endOf(facts, question, onModel) : 0);
  const free = freeSlots(facts);
  if (free > 0) return busy;
  const ahead = state === 'cold' ? 0 : question.aheadEach;
  return busy + endOf(facts, question, Math.max(1, onModel - admitted + 1) + ahead);
}

/** Whether a slot is free for the request right now. */
export function hasFreeSlot(facts: Facts, now: number): boolean {
  return freeSlots(facts) > 0 && facts.node.busyUntil <= now;
}

/**
 * Seconds until so many requests for the model have ended. Of ours it is known when they should; those of other replicas
 * end at even distances. One that is late lasts on: the later it is, the longer.
 */
function endOf(facts: Facts, question: Question, count: number): number {
  const { node, onModel, admitted, service } = facts;
  const { inflight, request, params, now } = question;
  const heldSeconds = service.promptSeconds + service.answerSeconds;
  const perEnd = heldSeconds / admitted;
  if (onModel === 0) return perEnd * count;
  const ends = inflight.expectedEnds(node.id, request.model.key);
  const left: number[] = [];
  for (const end of ends) left.push(secondsLeft(end, heldSeconds, params, now));
  const others = Math.max(0, Math.min(onModel, admitted + Math.ceil(count)) - left.length);
  for (let i = 1; i <= others; i += 1) left.push((heldSeconds * i) / Math.max(others, admitted));
  left.sort(bySize);
  const whole = Math.ceil(count);
  const known = left[Math.min(whole, left.length) - 1] ?? 0;
  return known + Math.max(0, count - left.length) * perEnd;
}

export function secondsLeft(
  end: number,
  heldSeconds: number,
  params: { readonly leastLeftShare: number; readonly overdueShare: number },
  now: number,
): number {
  const seconds = (end - now) / 1000;
  const least = params.leastLeftShare * heldSeconds;
  return seconds >= 0 ? Math.max(seconds, least) : least - params.overdueShare * seconds;
}

function bySize(a: number, b: number): number {
  return a - b;
}
