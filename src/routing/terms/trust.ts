import type { NodeView } from '../../fleet/types.ts';
import type { Facts } from '../facts.ts';
import type { RoutingParams } from '../params.ts';

/**
 * Seconds that stand for doubt. The share of failed requests counts by its square: a rare failure costs little, as the
 * next node in the list takes over within milliseconds, while a node that fails at once, and so looks idle, must not
 * draw the traffic to itself. A stale view costs a little: the node is perhaps as it was. So does a node that has just
 * come back: others go before it, until it has its whole share again.
 */
export function trustSeconds(facts: Facts, params: RoutingParams, now: number): number {
  const { node } = facts;
  const failures = Math.max(0, node.failureRate - params.toleratedFailures);
  let seconds = params.failureSeconds * failures * failures;
  if (node.status === 'suspect') seconds += params.suspectSeconds;
  if (node.status === 'down') seconds += 2 * params.suspectSeconds;
  if (facts.isStuck) seconds += params.suspectSeconds;
  if (facts.isHalfOpen) seconds += params.halfOpenSeconds;
  if (node.isThrottled) seconds += params.throttledSeconds;
  seconds += params.recoverySeconds * (1 - node.admission);
  return seconds + stalenessSeconds(node, params, now);
}

/** Nothing speaks against the node: it served lately, and what it was seen to be, it still is. */
export function isTrusted({ node, isStuck, isHalfOpen }: Facts, params: RoutingParams, now: number): boolean {
  if (node.status !== 'ready' || isStuck || isHalfOpen) return false;
  if (node.failureRate > params.toleratedFailures || node.residentAt === undefined) return false;
  if (node.servedAt === undefined || now - node.servedAt > params.provenMs) return false;
  return now - node.residentAt <= params.freshMs;
}

function stalenessSeconds(node: NodeView, params: RoutingParams, now: number): number {
  if (node.residentAt === undefined) return Math.max(params.unknownSeconds, params.maxStaleSeconds);
  const staleMs = Math.max(0, now - node.residentAt - params.freshMs);
  return Math.min(params.maxStaleSeconds, (staleMs / 1000) * params.stalePerSecond);
}
