import type { NodeView } from '../../fleet/types.ts';
import type { Facts } from '../facts.ts';
import type { RoutingParams } from '../params.ts';

/**
 * Seconds that loading the model takes: nothing where it is warm, the rest of the load where one already runs. The
 * requests of a burst for a cold model so follow the first one, until their queue costs more than another load.
 */
export function loadSeconds(facts: Facts, params: RoutingParams): number {
  if (facts.state === 'none' || facts.state === 'warm') return 0;
  const whole = wholeLoadSeconds(facts.node, facts.sizeBytes, params) / facts.weight;
  return facts.state === 'loading' ? whole * params.loadLeftShare : whole;
}

/** At the rate that the node showed, or at the default one. */
export function wholeLoadSeconds(node: NodeView, sizeBytes: number, params: RoutingParams): number {
  const rate = node.loadBytesPerSecond ?? params.defaultLoadBytesPerSecond;
  return params.loadStartSeconds + sizeBytes / Math.max(1, rate);
}
