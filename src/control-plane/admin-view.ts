import type { AdminSource, EnvoyInfo, ExplainQuery, Explanation } from '../api/admin-source.ts';
import type { ExtProcStanding } from '../api/ext-proc-shown.ts';
import type { SharingReport } from '../api/sharing-report.ts';
import type { Alarms } from '../app/alarms.ts';
import type { DecisionLog } from '../app/decision-log.ts';
import type { Fleet } from '../app/fleet.ts';
import type { Clock } from '../app/ports.ts';
import type { Router } from '../app/routing/router.ts';
import type { LeaseLedger } from '../fleet/ledger.ts';
import { inferenceEndpoint } from '../request/endpoints.ts';
import { RouterError } from '../request/errors.ts';
import { parseModelName } from '../request/model-name.ts';
import { plainRequest } from '../request/plain-request.ts';
import { VERSION } from '../version.ts';
import type { Insight } from './insight.ts';

export interface AdminViewDependencies {
  readonly replica: string;
  readonly listen: string | undefined;
  readonly fleet: Fleet;
  readonly ledger: LeaseLedger;
  readonly decisions: DecisionLog;
  readonly router: Router;
  readonly sharing: () => SharingReport;
  readonly pollerOf: (node: string) => string | undefined;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly insight: Pick<Insight, 'inputs' | 'guardReport' | 'shadowReport' | 'recording'>;
  readonly unreadyReasons: () => readonly string[];
  readonly envoy: () => EnvoyInfo | undefined;
  readonly extProc: () => ExtProcStanding;
}

/** What the admin server shows, read from the running parts. */
export function createAdminView(deps: AdminViewDependencies): AdminSource {
  const { fleet, ledger, decisions, alarms, clock } = deps;
  return {
    version: VERSION,
    replica: deps.replica,
    listen: deps.listen,
    startedAt: clock.date().toISOString(),
    now: () => clock.now(),
    date: () => clock.date(),
    snapshot: () => fleet.snapshot(),
    records: () => [...fleet.nodes.values()],
    inflight: () => ledger,
    sharing: deps.sharing,
    pollerOf: deps.pollerOf,
    unreadyReasons: deps.unreadyReasons,
    alarms: () => alarms.list(),
    envoy: deps.envoy,
    extProc: deps.extProc,
    line: () => deps.router.line(),
    shadow: () => deps.insight.shadowReport(),
    guard: () => deps.insight.guardReport(),
    recording: () => deps.insight.recording(),
    decisionInput: (id) => deps.insight.inputs.find(id),
    decisions: (limit) => decisions.recent(limit),
    decision: (id) => decisions.find(id)?.toRecord(),
    explain: (query) => explain(deps, query),
  };
}

function explain({ router }: AdminViewDependencies, query: ExplainQuery): Explanation {
  const endpoint = inferenceEndpoint(query.path);
  if (endpoint === undefined) throw new RouterError('not_allowed', `${query.path} is not an inference path`);
  const model = parseModelName(query.model);
  const { request, ranking, refusal } = router.preview(
    plainRequest(endpoint, model, { numCtx: query.numCtx, bodyBytes: 300, promptBytes: 200 }),
  );
  const target = request.model.key;
  return {
    model: model.key,
    path: query.path,
    target,
    refusal: refusal && { code: refusal.code, message: refusal.message },
    ranking,
    waiting: router.line().byModel.find(({ name }) => name === target)?.waiting ?? 0,
  };
}
