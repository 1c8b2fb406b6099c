import { drainCauses } from '../app/drain-causes.ts';
import { formatOrigin } from '../app/host-port.ts';
import type { RegisteredNode } from '../app/registry-types.ts';
import type { Drain, DrainCause, NodeRecord } from '../fleet/types.ts';
import type { AdminSource } from './admin-source.ts';
import type { DrainReport, NodesReport, RegisteredNodeReport } from './nodes-schema.ts';

const LEAVING = 'is no longer named by its source; it leaves when its requests have ended';

/** Everything that is known of nodes, by name. Tokens and identities are no part of it. */
export function nodesReport(source: AdminSource, nodes: readonly RegisteredNode[]): NodesReport {
  const records = new Map(source.records().map((record) => [record.spec.id, record]));
  return {
    at: source.date().toISOString(),
    nodes: nodes
      .map((node) => registeredReport(source, node, records.get(node.id)))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
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
