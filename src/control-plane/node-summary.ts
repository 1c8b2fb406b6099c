import type { Fleet } from '../app/fleet.ts';
import { formatOrigin } from '../app/host-port.ts';
import type { NodeSummary } from '../supervisor/messages.ts';

export function nodeSummaries(fleet: Fleet): NodeSummary[] {
  const views = fleet.snapshot().byId;
  return [...fleet.nodes.values()].map(({ spec, health, models, resident, seenAt }) => ({
    id: spec.id,
    url: formatOrigin(spec.url),
    status: views.get(spec.id)?.status ?? health.status,
    models: seenAt.tags === undefined ? undefined : models.size,
    warm: [...resident.values()].map(({ name }) => name),
    failure: health.lastFailure?.reason,
  }));
}
