import type { FailureReason, NodeStatus } from '../fleet/types.ts';

/** What the control plane tells the supervisor that started it. */
export type FromControlPlane =
  | { readonly type: 'listening' }
  /** Sent after the first round of polls. */
  | { readonly type: 'fleet'; readonly nodes: readonly NodeSummary[] };

/** What the supervisor tells the control plane. */
export type FromSupervisor = EnvoyNews | DrainNews;

export interface EnvoyNews {
  readonly type: 'envoy';
  readonly version: string;
  readonly pid: number | undefined;
  readonly restarts: number;
}

/** Envoy drains, and ends in so many ms at the latest. */
export interface DrainNews {
  readonly type: 'draining';
  readonly endsInMs: number;
}

export interface NodeSummary {
  readonly id: string;
  readonly url: string;
  readonly status: NodeStatus;
  /** Undefined: it has not been heard yet. */
  readonly models: number | undefined;
  readonly warm: readonly string[];
  readonly failure: FailureReason | undefined;
}
