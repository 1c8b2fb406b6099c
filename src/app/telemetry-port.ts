import type { FailureReason, FleetSnapshot, ModelKey, NodeId } from '../fleet/types.ts';
import type { ErrorCode } from '../request/errors.ts';
import type { PickReason } from '../routing/types.ts';
import type { Outcome } from './types.ts';

/** How one attempt on a node went. */
export type AttemptResult = 'served' | FailureReason;

/** What the control plane knew of a request when it ended; undefined where it never routed it. */
export interface RoutedRequest {
  /** Seconds to the first byte that the ranking expected of the first node. */
  readonly predictedSeconds: number;
  readonly reason: PickReason;
}

/** What is counted as it happens. Every method is synchronous, cheap and never throws: the hot path calls them. */
export interface Telemetry {
  /** A request was ranked; `reason` says why its first node stands first. */
  decided(reason: PickReason): void;
  /** A request was refused before it could be ranked. */
  refused(code: ErrorCode): void;
  /** One attempt ended. `undefined`: an address that is no node's (any more). */
  attempt(node: NodeId | undefined, result: AttemptResult): void;
  /** The access log's entry arrived. */
  requestEnded(outcome: Outcome, node: NodeId | undefined, routed: RoutedRequest | undefined): void;
  /** A lease ended because nobody released it in time. */
  leasesReaped(count: number): void;
  pollFailed(node: NodeId, reason: FailureReason): void;
  /** From the arrival of a message of Envoy's to our answer. */
  processorAnswered(seconds: number): void;
  processorStreamOpened(): void;
  processorStreamClosed(): void;
  endpointsPushed(): void;
  /** Envoy refused a push. */
  endpointsRejected(): void;
  configReloaded(result: 'applied' | 'unchanged' | 'rejected'): void;
}

/** What is read only when somebody scrapes. */
export interface FleetGauges {
  /** Monotonic ms, the clock of the snapshot. */
  now(): number;
  snapshot(): FleetSnapshot;
  /** Running requests of this replica, by node and model. */
  inflight(): ReadonlyMap<NodeId, ReadonlyMap<ModelKey, number>>;
  /** Leases that this replica holds now. */
  openLeases(): number;
}

/** Counts nothing: for tests and tools. */
export const silentTelemetry: Telemetry = {
  decided() {},
  refused() {},
  attempt() {},
  requestEnded() {},
  leasesReaped() {},
  pollFailed() {},
  processorAnswered() {},
  processorStreamOpened() {},
  processorStreamClosed() {},
  endpointsPushed() {},
  endpointsRejected() {},
  configReloaded() {},
};
