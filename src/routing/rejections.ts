import { knownModels } from '../fleet/model-index.ts';
import type { FleetSnapshot, NodeView } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import { rejectReason } from './filters.ts';
import type { Inflight, Ranking } from './types.ts';

/**
 * Why each node that is not in the ranking was left out, at most `most` of them: those that know the model first. For
 * people: a decision itself never asks all nodes.
 */
export function rejections(
  request: RouteRequest,
  snapshot: FleetSnapshot,
  inflight: Inflight,
  ranking: Ranking,
  most: number,
  now: number,
): Ranking['rejected'] {
  const ranked = new Set(ranking.nodes.map(({ id }) => id));
  const rejected: { id: string; reason: Ranking['rejected'][number]['reason'] }[] = [];
  const { key } = request.model;
  // A node whose list was never seen may have it.
  const knows = (node: NodeView): boolean => node.tagsAt === undefined || knownModels(node).has(key);
  const tell = (node: NodeView, reason: (typeof rejected)[number]['reason']): void => {
    if (rejected.length < most && !ranked.has(node.id)) rejected.push({ id: node.id, reason });
  };
  for (const node of snapshot.nodes)
    if (knows(node)) tell(node, rejectReason(request, node, inflight, now) ?? 'list_full');
  for (const node of snapshot.nodes) if (!knows(node)) tell(node, 'model_unknown');
  return rejected;
}
