import type { Facts } from './facts.ts';
import { type Question, wantedOf } from './question.ts';

/** A model that is asked for more than its copies can take waits without end; what it is worth to end that is bounded. */
const MOST_USED = 0.95;

/**
 * Seconds that those who come later will wait less if one more node has the model in memory: how often it is asked for
 * while a copy usually stays, times the mean wait that one more slot saves. `settled` are the nodes that have it, or load it.
 */
export function furtherCopySeconds(settled: readonly Facts[], question: Question): number {
  const { request, params } = question;
  let slots = 0;
  let heldSeconds = Number.POSITIVE_INFINITY;
  for (const { service, admitted } of settled) {
    slots += admitted;
    heldSeconds = Math.min(heldSeconds, service.promptSeconds + service.answerSeconds);
  }
  if (slots === 0 || !(slots < Number.POSITIVE_INFINITY)) return 0;
  const { perSecond } = wantedOf(question, request.model.key);
  if (perSecond === 0) return 0;
  const saved = waitSeconds(perSecond, heldSeconds, slots) - waitSeconds(perSecond, heldSeconds, slots + 1);
  return saved > 0 ? params.furtherCopyShare * perSecond * params.reuseSeconds * saved : 0;
}

/** Mean wait for one of so many slots where requests come at random (Sakasegawa's approximation of M/M/c). */
function waitSeconds(perSecond: number, heldSeconds: number, slots: number): number {
  const used = Math.min(MOST_USED, (perSecond * heldSeconds) / slots);
  return (used ** Math.sqrt(2 * (slots + 1)) * heldSeconds) / (slots * (1 - used));
}
