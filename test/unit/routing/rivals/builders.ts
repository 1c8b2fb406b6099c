import type { NodeId, NodeView } from '../../../../src/fleet/types.ts';
import type { RouteRequest } from '../../../../src/request/types.ts';
import type { RivalSituation } from '../../../../src/routing/rivals/types.ts';
import { MODEL, request, running, situation, snapshot } from '../builders.ts';

interface RivalFields extends Omit<Partial<RivalSituation>, 'queued' | 'responseMs'> {
  /** Running requests, written `{ n1: 2 }`. */
  readonly busy?: Readonly<Record<NodeId, number>>;
  readonly queued?: Readonly<Record<NodeId, number>>;
  readonly responseMs?: Readonly<Record<NodeId, number>>;
}

/** What a rival sees when all of `nodes` may take the request. */
export function seen(nodes: readonly NodeView[], fields: RivalFields = {}): RivalSituation {
  const { busy = {}, queued = {}, responseMs = {}, ...rest } = fields;
  const counts = Object.entries(busy).map(([id, count]) => [id, { [MODEL]: count }] as const);
  return {
    ...situation(snapshot(...nodes), { inflight: running(Object.fromEntries(counts)) }),
    fit: nodes,
    queued: (id) => queued[id] ?? 0,
    responseMs: (id) => responseMs[id],
    ...rest,
  };
}

export function asking(model: string, fields: Partial<RouteRequest> = {}): RouteRequest {
  return request({ model: { raw: model, key: model }, ...fields });
}
