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

/** Other models' requests take a part of the GPU; they block nobody. */
function slowdown({ onNode, onModel, onOtherLoads }: Facts, params: RoutingParams): number {
  return 1 + params.contentionShare * Math.max(0, onNode - onModel - onOtherLoads);
}
