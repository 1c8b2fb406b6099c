import type { Facts } from '../facts.ts';
import type { RoutingParams } from '../params.ts';

/** Reading what the node's prompt cache does not hold. */
export function promptSeconds(facts: Facts, params: RoutingParams): number {
  return facts.state === 'none' ? 0 : facts.service.promptSeconds * slowdown(facts, params);
}

/** Writing the answer. */
export function answerSeconds(facts: Facts, params: RoutingParams): number {
  return facts.state === 'none' ? 0 : facts.service.answerSeconds * slowdown(facts, params);
}

/** Models take turns on the GPU; they block nobody. */
function slowdown({ busyModels }: Facts, params: RoutingParams): number {
  return 1 + params.contentionShare * busyModels;
}
