import type { RaisedAlarm } from '../app/alarms.ts';
import type { DecisionInput } from '../app/decision-inputs.ts';
import type { ShadowReport } from '../app/shadow.ts';
import type { RecordingFigures } from '../app/telemetry-port.ts';
import type { DecisionRecord } from '../app/types.ts';
import type { FleetSnapshot, NodeRecord } from '../fleet/types.ts';
import type { Inflight, Ranking } from '../routing/types.ts';
import type { LineReport } from '../waiting/types.ts';
import type { ExtProcStanding } from './ext-proc-shown.ts';
import type { GuardReport } from './line-report.ts';
import type { SharingReport } from './sharing-report.ts';

export interface EnvoyInfo {
  /** As `envoy --version` prints it; undefined where Envoy runs elsewhere. */
  readonly version: string | undefined;
  readonly pid: number | undefined;
  readonly restarts: number | undefined;
}

export interface ExplainQuery {
  /** As the operator typed it. */
  readonly model: string;
  readonly numCtx: number | undefined;
  /** Inference path, e.g. `/api/chat`. */
  readonly path: string;
}

export interface Explanation {
  /** Canonical key of the model asked for. */
  readonly model: string;
  /** Key of the model that would serve it: an alias or a fallback makes it another. */
  readonly target: string;
  readonly path: string;
  /** What a client would be told now; undefined where there are nodes to try. */
  readonly refusal?: { readonly code: string; readonly message: string } | undefined;
  readonly ranking: Ranking;
  /** Requests for the model that wait for a slot. */
  readonly waiting: number;
}

/** What the admin server shows. All synchronous and read-only; nothing may throw but `explain` (RouterError). */
export interface AdminSource {
  readonly version: string;
  /** Id of this replica. */
  readonly replica: string;
  /** Where clients connect (`host:port`); undefined where Envoy runs elsewhere. */
  readonly listen: string | undefined;
  /** ISO 8601. */
  readonly startedAt: string;
  /** Monotonic ms: the clock of snapshots and records. */
  now(): number;
  /** Wall clock. */
  date(): Date;
  snapshot(): FleetSnapshot;
  /** History of each node, beside the derived figures of the snapshot. */
  records(): readonly NodeRecord[];
  inflight(): Inflight;
  sharing(): SharingReport;
  /** Id of the replica that polls a node; undefined where that is not known now. */
  pollerOf(node: string): string | undefined;
  /** Why no traffic should come here yet, or any more; empty when ready. */
  unreadyReasons(): readonly string[];
  alarms(): readonly RaisedAlarm[];
  envoy(): EnvoyInfo | undefined;
  /** How ext_proc is asked; absent: nobody tells. */
  extProc?(): ExtProcStanding | undefined;
  line(): LineReport;
  /** Undefined: no second policy is asked. */
  shadow(): ShadowReport | undefined;
  guard(): GuardReport;
  /** Undefined: decisions are not recorded. */
  recording(): RecordingFigures | undefined;
  /** Newest first, at most `limit`. */
  decisions(limit: number): readonly DecisionRecord[];
  decision(id: string): DecisionRecord | undefined;
  /** What the decision followed from; undefined where it is too long ago. */
  decisionInput(id: string): DecisionInput | undefined;
  /** What would be chosen now; takes no lease. Throws RouterError for a name that is none, or an unknown path. */
  explain(query: ExplainQuery): Explanation;
}
