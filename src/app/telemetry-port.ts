import type { DrainCause, FailureReason, FleetSnapshot, ModelKey, NodeId } from '../fleet/types.ts';
import type { ErrorCode } from '../request/errors.ts';
import type { RewriteKind } from '../routing/rewrites.ts';
import type { PickReason } from '../routing/types.ts';
import type { LineReport, RequestClass } from '../waiting/types.ts';
import type { ExtProcProblem, ProfileName } from './ext-proc-profile.ts';
import type { StreamMode } from './ext-proc-report.ts';
import type { ShadowTelemetry } from './shadow.ts';
import type { OutcomeEnd } from './types.ts';

/** How one attempt on a node went. */
export type AttemptResult = 'served' | FailureReason;
export type ReloadResult = 'applied' | 'unchanged' | 'rejected';

/** What the use cases tell the metrics. Calls are cheap, never throw, and take bounded label values only. */
export interface Telemetry {
  /** A request was ranked; `reason` is that of the first node. */
  decided(reason: PickReason): void;
  refused(code: ErrorCode): void;
  attempt(node: NodeId, result: AttemptResult): void;
  /** Every request that ended, routed by us or not (`routed: false`: it failed open). */
  ended(outcome: EndedRequest): void;
  /** A lease that no stream end released. */
  leaseReaped(): void;
  pollFailed(node: NodeId, reason: FailureReason): void;
  configReloaded(result: ReloadResult): void;
}

/** How a request left the waiting line. */
export type LineOutcome = 'dispatched' | 'refused' | 'gone';

/** What the waiting line tells the metrics; its length is read when somebody scrapes. Calls are cheap and never throw. */
export interface LineTelemetry {
  lineJoined(requestClass: RequestClass): void;
  lineLeft(requestClass: RequestClass, seconds: number, outcome: LineOutcome): void;
}

/** How good decisions are. Calls are cheap and never throw. */
export interface DecisionTelemetry extends ShadowTelemetry {
  /** A request's body was changed. */
  rewritten(kind: RewriteKind): void;
}

/** What the guard against killing requests counts. */
export interface GuardFigures {
  readonly refusals: number;
}

/** What the recording of decisions counts: lines. */
export interface RecordingFigures {
  readonly written: number;
  readonly dropped: number;
}

export interface EndedRequest {
  readonly routed: boolean;
  readonly path: string;
  readonly status: number;
  readonly end: OutcomeEnd;
  readonly node: NodeId | undefined;
  readonly model: ModelKey | undefined;
  readonly attempts: number;
  readonly totalSeconds: number;
  /** Undefined where no byte came, or where headers come with the whole answer. */
  readonly firstByteSeconds: number | undefined;
  /** In our own line, which is part of both times above; the predictions begin after it. */
  readonly waitedSeconds: number;
  /** What routing expected of the node that served; undefined for requests that were not routed. */
  readonly predictedFirstTokenSeconds: number | undefined;
  readonly predictedCompletionSeconds: number | undefined;
  readonly promptTokens: number | undefined;
  readonly completionTokens: number | undefined;
}

/** What the gRPC services for Envoy tell the metrics. Calls are cheap and never throw. */
export interface EnvoyTelemetry {
  /** From the arrival of a message of Envoy's to our answer. */
  processorAnswered(seconds: number): void;
  processorStreamOpened(): void;
  processorStreamClosed(): void;
  endpointsPushed(): void;
  /** Envoy refused a push (NACK). */
  endpointsRejected(): void;
}

/** How proxies call us over ext_proc. Calls are cheap and never throw. */
export interface ExtProcTelemetry {
  extProcStream(profile: ProfileName, mode: StreamMode): void;
  extProcProblem(problem: ExtProcProblem): void;
}

/** What agents and exporters tell of the GPUs tells the metrics. Calls are cheap and never throw. */
export interface GpuTelemetry {
  agentRequest(kind: 'join' | 'report', result: string): void;
  gpuMetricsScraped(node: NodeId, result: 'ok' | FailureReason): void;
}

/** What the shared store tells the metrics. Calls are cheap and never throw. */
export interface StoreCounters {
  storeCommand(name: string, result: string, seconds: number): void;
  storeValueRejected(kind: string): void;
  storeState(state: 'connecting' | 'up' | 'down'): void;
}

/** What is read only when somebody scrapes. */
export interface FleetGauges {
  /** Monotonic ms: the clock of the snapshot. */
  now(): number;
  snapshot(): FleetSnapshot;
  /** Running requests of this replica, by node and model. */
  inflight(): ReadonlyMap<NodeId, ReadonlyMap<ModelKey, number>>;
  /** Leases that this replica holds now. */
  openLeases(): number;
  /** Nodes that drain, and why. */
  drains?(): Iterable<readonly [node: NodeId, causes: readonly DrainCause[]]>;
  /** The waiting line; undefined: there is none. */
  line?(): LineReport;
  guard?(): GuardFigures;
  /** Undefined: decisions are not recorded. */
  recording?(): RecordingFigures | undefined;
  /** Live replicas, this one included. */
  replicas(): number;
}
