import type { FailureReason, ModelKey, NodeId } from '../fleet/types.ts';
import type { ErrorCode } from '../request/errors.ts';
import type { PickReason } from '../routing/types.ts';
import type { OutcomeEnd } from './types.ts';

/** What the use cases tell the metrics. Calls are cheap, never throw, and take bounded label values only. */
export interface Telemetry {
  /** A request was ranked; `reason` is that of the first node. */
  decided(reason: PickReason): void;
  refused(code: ErrorCode): void;
  attempt(node: NodeId, result: 'served' | FailureReason): void;
  /** Every request that ended, routed by us or not (`routed: false`: it failed open). */
  ended(outcome: EndedRequest): void;
  /** A lease that no stream end released. */
  leaseReaped(): void;
  pollFailed(node: NodeId, reason: FailureReason): void;
  configReloaded(result: 'applied' | 'rejected'): void;
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
  /** What routing expected for the node that served; undefined for requests that were not routed. */
  readonly predictedSeconds: number | undefined;
  readonly promptTokens: number | undefined;
  readonly completionTokens: number | undefined;
}
