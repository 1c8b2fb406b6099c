import { stuckState } from '../fleet/stuck.ts';
import type { Candidates, FleetSnapshot, NodeView } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import { hostOf } from './host-of.ts';
import type { Inflight, RejectReason } from './types.ts';

/** Why a node must not take the request now; undefined: it may. That it knows the model is not asked here. */
export function rejectReason(
  request: RouteRequest,
  node: NodeView,
  inflight: Inflight,
  now: number,
): RejectReason | undefined {
  if (request.among !== undefined && !isAmong(request.among, node.address)) return 'not_allowed';
  if (node.status === 'draining') return 'draining';
  if (node.address === undefined) return 'no_address';
  if (node.status === 'down') return 'down';
  // A model that does not answer may still be described.
  if (node.stuckModels.size === 0 || request.endpoint.operation === 'show') return undefined;
  const { key } = request.model;
  const state = stuckState(node.stuckModels, key, now);
  if (state === 'fine') return undefined;
  const mayProbe = state === 'half_open' && inflight.onModel(node.id, key) === 0;
  return mayProbe ? undefined : 'stuck';
}

function isAmong(among: ReadonlySet<string>, address: string | undefined): boolean {
  if (address === undefined) return false;
  return among.has(address) || among.has(hostOf(address));
}

/** Better than a refusal: a node that was down may be back, a stuck model may work again. */
export function isLastResort(reason: RejectReason | undefined): boolean {
  return reason === undefined || reason === 'down' || reason === 'stuck';
}

/**
 * Nodes that may have a model of which no tag list tells, because they were never asked. While the whole fleet is in
 * that state, every node is one, down ones included; later only those that may still answer their first poll.
 */
export function unobservedNodes({ nodes, byModel }: FleetSnapshot): Candidates {
  const { unseen } = byModel;
  const isAll = unseen.length === nodes.length;
  const mayAnswer = isAll ? unseen : unseen.filter((at) => mayStillAnswer(nodes[at]));
  return { nodes, knowing: mayAnswer, warm: new Uint32Array() };
}

function mayStillAnswer(node: NodeView | undefined): boolean {
  return node?.status === 'unknown' || node?.status === 'suspect';
}
