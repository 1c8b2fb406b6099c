import { setImmediate } from 'node:timers/promises';
import { drainCauses } from '../app/drains/drain-causes.ts';
import { formatOrigin } from '../app/host-port.ts';
import type { RegisteredNode } from '../app/registry/registry-types.ts';
import type { Drain, DrainCause, NodeRecord } from '../fleet/types.ts';
import type { AdminSource } from './admin-source.ts';
import type { DrainReport, RegisteredNodeReport } from './nodes-schema.ts';

const LEAVING = 'is no longer named by its source; it leaves when its requests have ended';

/** Nodes that are described without a pause. */
const SLICE = 100;

/**
 * Everything that is known of nodes, by name, as JSON. Tokens and identities are no part of it. Made bit by bit, with pauses
 * for requests.
 */
export async function* nodesText(
  source: AdminSource,
  nodes: readonly RegisteredNode[],
): AsyncGenerator<string, void> {
  yield `{"at":${JSON.stringify(source.date().toISOString())},"nodes":[`;
  const sorted = [...nodes].sort((a, b) => (a.id < b.id ? -1 : 1));
  const records = new Map(source.records().map((record) => [record.spec.id, record]));
  for (let from = 0; from < sorted.length; from += SLICE) {
    if (from > 0) await setImmediate();
    const part = sorted
      .slice(from, from + SLICE)
      .map((node) => JSON.stringify(registeredReport(source, node, records.get(node.id))));
    yield `${from > 0 ? ',' : ''}${part.join(',')}`;
  }
  yield ']}';
}

export function registeredReport(
  source: AdminSource,
  node: RegisteredNode,
  record: NodeRecord | undefined,
): RegisteredNodeReport {
  const isGone = node.state === 'gone';
  const isMember = node.state === 'member' || isGone;
  const known = isMember ? record : undefined;
  return {
    name: node.id,
    state: node.state,
    status: known === undefined ? null : (source.snapshot().byId.get(node.id)?.status ?? known.health.status),
    source: node.source,
    url: formatOrigin(node.spec.url),
    firstSeenAt: node.firstSeenAt,
    lastSeenAt: node.lastSeenAt,
    problem: node.problem ?? (isGone ? LEAVING : null),
    // Whoever leaves drains by itself; nobody has configured that.
    drains:
      known === undefined ? [] : drainReports(known).filter(({ cause }) => !isGone || cause !== 'configured'),
    inflight: known === undefined ? 0 : source.inflight().onNode(node.id),
  };
}

export function drainReports(record: Pick<NodeRecord, 'spec' | 'drains'>): DrainReport[] {
  return drainCauses(record).map(([cause, drain]) => drainReportOf(cause, drain));
}

function drainReportOf(cause: DrainCause, drain: Drain | undefined): DrainReport {
  return {
    cause,
    since: drain?.since ?? null,
    note: drain?.note ?? '',
    removeAt: drain?.removeAt ?? null,
  };
}
