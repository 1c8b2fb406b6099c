import type { RouteRequest } from '../../request/types.ts';
import type { Facts } from '../facts.ts';
import type { RoutingParams } from '../params.ts';

/** The network. */
export function roundTripSeconds(facts: Facts): number {
  return facts.node.rttMs / 1000;
}

/** Reading the prompt on a node of weight 1. */
export function prefillSeconds(request: RouteRequest, params: RoutingParams): number {
  const reading = request.bodyBytes / params.prefillBytesPerSecond;
  return params.baseSeconds + Math.min(params.maxPrefillSeconds, reading);
}
