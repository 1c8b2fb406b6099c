import { stuckState } from '../fleet/stuck.ts';
import type { Candidates, FleetSnapshot, NodeView } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import { allowedPlaces, isAllowed } from './allowed.ts';
import type { Inflight, RejectReason } from './types.ts';

/** Why a node must not take the request now; undefined: it may. That it knows the model is not asked here. */
export function rejectReason(
  request: RouteRequest,
  node: NodeView,
  inflight: Inflight,
  now: number,
): RejectReason | undefined {
  if (!isAllowed(request.among, node)) return 'not_allowed';
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

/** Better than a refusal: a node that was down may be back, a stuck model may work again. */
export function isLastResort(reason: RejectReason | undefined): boolean {
  return reason === undefined || reason === 'down' || reason === 'stuck';
}

/**
 * Nodes that may have a model of which no tag list tells, because they were never asked. While all that are allowed are in
 * that state (`isNobodySeen`), every node is one, down ones included; later only those that may still answer their first poll.
 */
export function unobservedNodes(
  { nodes, byModel }: FleetSnapshot,
  among: RouteRequest['among'],
): Candidates & { readonly isNobodySeen: boolean } {
  const unseen = allowedPlaces(nodes, byModel.unseen, among);
  const isNobodySeen = unseen.length === allowedCount(nodes, among);
  const knowing = isNobodySeen ? unseen : unseen.filter((at) => mayStillAnswer(nodes[at]));
  return { nodes, knowing, warm: new Uint32Array(), isNobodySeen };
}

function allowedCount(nodes: readonly NodeView[], among: RouteRequest['among']): number {
  if (among === undefined) return nodes.length;
  return nodes.reduce((count, node) => (isAllowed(among, node) ? count + 1 : count), 0);
}

function mayStillAnswer(node: NodeView | undefined): boolean {
  return node?.status === 'unknown' || node?.status === 'suspect';
}
