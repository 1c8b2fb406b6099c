import type { Facts } from '../facts.ts';
import type { RoutingParams } from '../params.ts';

/**
 * Seconds until one of the node's slots for the model is free. With `c` slots and `q` requests there, `q + 1 - c` must
 * end first, and one ends every `service / c` seconds. A recovering node has only a share of its slots (slow start), so
 * that it seems busy before it is. Other models' requests take a part of the GPU, and a busy answer (429, 503) counts
 * until the time that the node asked for.
 */
export function slotWaitSeconds(facts: Facts, params: RoutingParams, now: number): number {
  if (facts.state === 'none') return 0;
  const { node, onNode, onModel, serviceSeconds, weight } = facts;
  const slots = Math.max(1, node.slots);
  const admitted = slots * node.admission;
  // Ollama reloads a model only when all its running requests have ended.
  const mustEnd = facts.state === 'reload' ? onModel + 1 - node.admission : onModel + 1 - admitted;
  const queue = (Math.max(0, mustEnd) * serviceSeconds) / slots;
  const others = Math.max(0, onNode - onModel);
  const contention = others * params.contentionShare * serviceSeconds;
  const busy = Math.max(0, node.busyUntil - now) / 1000;
  return (queue + contention) / weight + busy;
}

/** Whether a slot is free for the request right now. */
export function hasFreeSlot(facts: Facts, now: number): boolean {
  const { node, onModel } = facts;
  return onModel < Math.max(1, node.slots) && node.busyUntil <= now;
}
