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

/** Those that run on the node already are slowed down for as long as this request runs beside them. */
export function crowdingSeconds(facts: Facts, params: RoutingParams): number {
  const { state, onNode, onModel, onOtherLoads, service } = facts;
  if (state === 'none' || onNode === 0) return 0;
  const others = Math.max(0, onNode - onModel - onOtherLoads);
  const beside =
    Math.min(onModel, facts.admitted) * params.slowdownPerRequest + others * params.contentionShare;
  return params.crowdingShare * beside * (service.promptSeconds + service.answerSeconds);
}

/** Models take turns on the GPU; they block nobody. */
function slowdown({ busyModels }: Facts, params: RoutingParams): number {
  return 1 + params.contentionShare * busyModels;
}
