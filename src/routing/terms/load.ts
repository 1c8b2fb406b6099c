import type { Facts } from '../facts.ts';
import type { Question } from '../question.ts';

/**
 * Seconds that loading the model takes: nothing where it is warm, the rest of the load where one already runs. Loads on
 * one node wait for each other, and for the requests of models that must go (`victimsSeconds`).
 */
export function loadSeconds(facts: Facts, question: Question, victimsSeconds: number): number {
  const { state, service, onOtherLoads } = facts;
  if (state === 'none' || state === 'warm') return 0;
  if (state === 'loading') return restOfLoadSeconds(facts, question);
  const others = onOtherLoads > 0 ? service.loadSeconds * question.params.loadLeftShare : 0;
  return service.loadSeconds + others + victimsSeconds;
}

/** The first request ends when the load, its prompt and its answer are done; a load that is late is nearly done. */
export function restOfLoadSeconds(
  { node, service }: Facts,
  { inflight, request, params, now }: Question,
): number {
  const { loadSeconds: whole, promptSeconds, answerSeconds } = service;
  const first = inflight.expectedEnds(node.id, request.model.key)[0];
  if (first === undefined) return whole * params.loadLeftShare;
  const rest = (first - now) / 1000 - promptSeconds - answerSeconds;
  return Math.max(whole * params.leastLoadLeftShare, rest);
}
