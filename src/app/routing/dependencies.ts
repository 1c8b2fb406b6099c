import type { LeaseLedger } from '../../fleet/ledger.ts';
import type { FleetSnapshot, ModelKey, NodeView } from '../../fleet/types.ts';
import type { BodyEdit, ModelName, RouteRequest } from '../../request/types.ts';
import type { RoutingParams } from '../../routing/params.ts';
import type { Demand, PromptMemory } from '../../routing/types.ts';
import type { LinePolicy } from '../../waiting/policy.ts';
import type { Caller } from '../../waiting/types.ts';
import type { DecisionInputs } from '../decision-inputs.ts';
import type { DecisionLog } from '../decision-log.ts';
import type { Fleet } from '../fleet.ts';
import type { Log } from '../log.ts';
import type { Clock, Random } from '../ports.ts';
import type { RequestWatcher } from '../request-watcher.ts';
import type { LineTelemetry, Telemetry } from '../telemetry-port.ts';
import type { SlotClaims } from './claims.ts';
import type { ClosingTime } from './closing-time.ts';

/** Keeps bodies that crash nodes from being handed on, see `QueryGuard`. */
export interface BodyGuard {
  /** Throws RouterError for a body that is refused now. */
  check(fingerprint: string, now: number): void;
  /** Nodes that may still be tried with the body. */
  attemptsLeft(fingerprint: string, now: number): number;
}

/** What is changed in requests, and what is refused, by policy. */
export interface Rewriting {
  /** Throws RouterError for what the caller may not ask for. */
  check(request: RouteRequest, caller: Caller): void;
  /** The changes that a request needs before the node gets it as one for `target`. */
  edits(request: RouteRequest, target: ModelName, node: NodeView, caller: Caller): readonly BodyEdit[];
}

export interface RouterDependencies {
  readonly fleet: Fleet;
  readonly ledger: LeaseLedger;
  readonly decisions: DecisionLog;
  readonly demand: Demand & { note?(model: ModelKey, now: number): void };
  readonly prompts: PromptMemory;
  readonly telemetry: Telemetry;
  readonly log: Log;
  readonly clock: Clock;
  /** For previews only: a decision's chance comes from its id, see `seededBy`. */
  readonly random: Random;
  /** Read at every request: a reload may change them. */
  readonly params: () => RoutingParams;
  /** Names this process in decision ids, so that they are unique over replicas and restarts. */
  readonly replica: string;
  /** The models that may answer, best first, never empty; throws RouterError. Undefined: the one asked for. */
  readonly targets?: (request: RouteRequest, snapshot: FleetSnapshot) => readonly ModelName[];
  readonly guard?: BodyGuard;
  readonly rewriting?: Rewriting;
  readonly line?: () => LinePolicy;
  readonly lineTelemetry?: LineTelemetry | undefined;
  /** Undefined: no other control plane dispatches to these nodes. */
  readonly claims?: SlotClaims | undefined;
  readonly closing: ClosingTime;
  readonly watchers?: readonly RequestWatcher[];
  /** Keeps what decisions followed from, so that they can be made again; undefined: that is not kept. */
  readonly inputs?: DecisionInputs | undefined;
}
