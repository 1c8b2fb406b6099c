import type { RouteRequest } from '../../request/types.ts';
import type { Facts } from '../facts.ts';
import type { RoutingParams } from '../params.ts';

/**
 * Seconds to the first token on a warm and idle node: the network's round trip and the reading of the prompt. The
 * latter makes a faster node (`weight`) win between two that are otherwise equal.
 */
export function roundTripSeconds(facts: Facts, request: RouteRequest, params: RoutingParams): number {
  const rtt = facts.node.rttMs / 1000;
  if (request.endpoint.operation === 'show') return rtt;
  return rtt + prefillSeconds(request, params) / facts.weight;
}

/** Reading the prompt on a node of weight 1. */
export function prefillSeconds(request: RouteRequest, params: RoutingParams): number {
  const reading = request.bodyBytes / params.prefillBytesPerSecond;
  return params.baseSeconds + Math.min(params.maxPrefillSeconds, reading);
}
