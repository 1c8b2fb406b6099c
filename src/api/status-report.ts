import { setImmediate } from 'node:timers/promises';
import { formatOrigin } from '../app/host-port.ts';
import type { NodeRecord, NodeView, ResidentModel } from '../fleet/types.ts';
import type { AdminSource } from './admin-source.ts';
import { extProcShown } from './ext-proc-shown.ts';
import { gpuReportOf, nodeFigures } from './gpu-report.ts';
import { learntReports } from './learnt-report.ts';
import { lineShown, shadowShown } from './line-report.ts';
import { drainReports } from './nodes-report.ts';
import type { NodeReport, StatusReport } from './status-schema.ts';

/** Decisions that a status report carries; `/decisions` has them all. */
const DECISIONS = 50;

/** Nodes that are described without a pause. */
const SLICE = 50;

/**
 * Everything an operator asks first, as JSON. Tokens are no part of it. Made bit by bit, as fast as it is read and with
 * pauses for requests: each node is described as of the moment that its turn comes.
 */
export async function* statusText(source: AdminSource, admin: string): AsyncGenerator<string, void> {
  const { nodes, ...rest } = statusFrame(source, admin);
  yield `${JSON.stringify(rest).slice(0, -1)},"nodes":[`;
  const records = source.records();
  for (let from = 0; from < records.length; from += SLICE) {
    if (from > 0) await setImmediate();
    const { byId } = source.snapshot();
    const part = records
      .slice(from, from + SLICE)
      .map((record) => JSON.stringify(nodeReport(source, record, byId.get(record.spec.id))));
    yield `${from > 0 ? ',' : ''}${part.join(',')}`;
  }
  yield ']}';
}

/** The report without its nodes. */
function statusFrame(source: AdminSource, admin: string): StatusReport {
  const date = source.date();
  const snapshot = source.snapshot();
  const unready = [...source.unreadyReasons()];
  const envoy = source.envoy();
  const shadow = source.shadow();
  const recording = source.recording();
  const extProc = source.extProc?.();
  return {
    version: source.version,
    replica: source.replica,
    at: date.toISOString(),
    startedAt: source.startedAt,
    uptimeSeconds: Math.max(0, Math.round((date.getTime() - Date.parse(source.startedAt)) / 1000)),
    listen: source.listen ?? null,
    admin,
    isReady: unready.length === 0,
    unready,
    alarms: source.alarms().map(({ code, message, since }) => ({ code, message, since })),
    envoy:
      envoy === undefined
        ? null
        : { version: envoy.version ?? null, pid: envoy.pid ?? null, restarts: envoy.restarts ?? null },
    extProc: extProc === undefined ? null : extProcShown(extProc, source.now()),
    sharing: source.sharing(),
    snapshotVersion: snapshot.version,
    line: lineShown(source.line()),
    shadow: shadow === undefined ? null : shadowShown(shadow),
    guard: { ...source.guard() },
    recording: recording === undefined ? null : { ...recording },
    nodes: [],
    decisions: source.decisions(DECISIONS).map((record) => ({ ...record })),
  };
}

function nodeReport(source: AdminSource, record: NodeRecord, view: NodeView | undefined): NodeReport {
  const { spec, health } = record;
  const toDate = (monotonicMs: number): string =>
    new Date(source.date().getTime() - (source.now() - monotonicMs)).toISOString();
  const seenAt = record.seenAt.resident;
  const inflight = source.inflight();
  return {
    name: spec.id,
    status: view?.status ?? (spec.drain || record.drains.size > 0 ? 'draining' : health.status),
    since: drainedSince(record) ?? toDate(health.since),
    url: urlOf(record),
    address: record.address ?? null,
    version: record.version ?? null,
    admission: view?.admission ?? 1,
    weight: spec.weight,
    labels: { ...spec.labels },
    lastFailure:
      health.lastFailure === undefined
        ? null
        : {
            reason: health.lastFailure.reason,
            detail: health.lastFailure.detail,
            at: toDate(health.lastFailure.at),
          },
    failureRate: health.failureRate,
    models: [...record.models.values()].map((model) => model.name).sort(),
    warm: [...record.resident.values()].map((model) => warmReport(source, spec.id, model)),
    ...nodeFigures(record, view, source.now()),
    gpu: gpuReportOf(record, source.now()),
    inflight: inflight.onNode(spec.id),
    learnt: learntReports(view),
    drains: drainReports(record),
    rttMs: record.rttMs ?? null,
    pollAgeMs: seenAt === undefined ? null : Math.max(0, source.now() - seenAt),
    poller: source.pollerOf(spec.id) ?? null,
  };
}

function warmReport(source: AdminSource, node: string, model: ResidentModel): NodeReport['warm'][number] {
  return {
    name: model.name,
    vramBytes: model.vramBytes,
    sizeBytes: model.sizeBytes,
    contextLength: model.contextLength ?? null,
    expiresAt: model.expiresAt,
    inflight: source.inflight().onModel(node, model.key),
  };
}

function urlOf({ spec }: NodeRecord): string {
  return formatOrigin(spec.url);
}

/** When its oldest drain began; undefined where none is known to have. */
function drainedSince({ drains }: NodeRecord): string | undefined {
  return [...drains.values()].map(({ since }) => since).sort()[0];
}
