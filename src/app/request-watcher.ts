import type { FailureReason, NodeId } from '../fleet/types.ts';
import type { ErrorCode } from '../request/errors.ts';
import type { RouteRequest } from '../request/types.ts';
import type { Ranking, Situation } from '../routing/types.ts';
import type { Caller } from '../waiting/types.ts';
import type { Decision } from './decision-log.ts';
import type { Outcome } from './types.ts';

/** A request that no node ever got: refused, or its client hung up in the line. */
export interface UnplacedRequest {
  /** As a decision's would be. */
  readonly id: string;
  /** As the proxy names the request. */
  readonly requestId?: string | undefined;
  readonly request: RouteRequest;
  readonly caller: Caller;
  /** In the line, ms; 0 where it never stood there. */
  readonly waitedMs: number;
  readonly why: ErrorCode | 'client_gone';
}

/** A ranking whose first node gets the request. */
export interface ChosenNode {
  /** Id of the decision. */
  readonly id: string;
  /** Its model is the target. */
  readonly request: RouteRequest;
  readonly ranking: Ranking;
  readonly situation: Situation;
}

/** Follows requests without a say in them. Calls are cheap and never throw. */
export interface RequestWatcher {
  /** A node was chosen, its lease is not taken yet: `situation` is still the one that the ranking was made in. */
  chosen?(chosen: ChosenNode): void;
  /** Its lease is taken, it is on its way. */
  placed?(decision: Decision): void;
  unplaced?(unplaced: UnplacedRequest): void;
  /** Once for each node that failed, the request may go on. */
  attemptFailed?(decision: Decision, node: NodeId, reason: FailureReason): void;
  /** `node`: who answered, or was tried last. */
  ended?(decision: Decision, node: NodeId | undefined, outcome: Outcome): void;
}
