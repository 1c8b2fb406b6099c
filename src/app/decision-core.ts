import { ModelDemand } from '../fleet/demand.ts';
import type { LeaseLedger } from '../fleet/ledger.ts';
import { NodePromptMemory } from '../fleet/prompt-memory.ts';
import type { NodeId, Observation } from '../fleet/types.ts';
import type { ModelAliases, RewritePolicy } from '../routing/rewrite-policy.ts';
import { bodyEdits, checkPrivileges } from '../routing/rewrites.ts';
import { targetsOf } from '../routing/targets.ts';
import type { LinePolicy } from '../waiting/policy.ts';
import { PreloadLimit } from '../waiting/preload-limit.ts';
import { DecisionLog } from './decision-log.ts';
import type { Fleet } from './fleet.ts';
import type { Log } from './log.ts';
import type { Clock, Random } from './ports.ts';
import { PromptNotes } from './prompt-notes.ts';
import { promptWatcher } from './prompt-watcher.ts';
import type { QueryGuard } from './query-guard.ts';
import { OutcomeLog } from './record-outcome.ts';
import type { RequestWatcher } from './request-watcher.ts';
import { ClosingTime } from './routing/closing-time.ts';
import type { RouterDependencies } from './routing/dependencies.ts';
import { Router } from './routing/router.ts';
import type { Telemetry } from './telemetry-port.ts';
import type { AnswerRecorder } from './types.ts';

/** Decisions that are remembered after their end. */
const DECISIONS_KEPT = 1_000;

/** What decisions follow, beside the parameters of routing. */
export interface DecisionPolicies {
  readonly line: LinePolicy;
  readonly aliases: ModelAliases;
  readonly rewrites: RewritePolicy;
}

export interface DecisionCoreOptions
  extends Pick<RouterDependencies, 'claims' | 'inputs' | 'lineTelemetry' | 'params' | 'replica'> {
  /** Undefined: nobody tells it to stop. */
  readonly closing?: ClosingTime;
  readonly fleet: Fleet;
  readonly ledger: LeaseLedger;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly telemetry: Telemetry;
  readonly guard: QueryGuard;
  readonly watchers: readonly RequestWatcher[];
  readonly policies: () => DecisionPolicies;
  /** What a request has shown of a node. */
  readonly observe: (node: NodeId, observation: Observation) => void;
  readonly refreshTags: (node: NodeId) => void;
}

export interface DecisionCore {
  readonly router: Router;
  /** Hears what became of requests, from whoever can tell. */
  readonly recorder: AnswerRecorder;
  readonly decisions: DecisionLog;
  readonly demand: ModelDemand;
  readonly promptNotes: PromptNotes;
}

/** The parts that decide and learn, wired to each other: the live control plane and the simulated one have the same. */
export function createDecisionCore(options: DecisionCoreOptions): DecisionCore {
  const { fleet, ledger, clock, random, log, telemetry, policies, guard } = options;
  const decisions = new DecisionLog(DECISIONS_KEPT);
  const demand = new ModelDemand();
  const prompts = new NodePromptMemory();
  const promptNotes = new PromptNotes(prompts, fleet, clock);
  const preloads = new PreloadLimit();
  const watchers = [...options.watchers, promptWatcher(promptNotes)];
  const common = { fleet, ledger, decisions, clock, watchers, log, telemetry };
  const router = new Router({
    ...common,
    demand,
    prompts,
    random,
    guard,
    params: options.params,
    replica: options.replica,
    claims: options.claims,
    closing: options.closing ?? new ClosingTime(),
    inputs: options.inputs,
    lineTelemetry: options.lineTelemetry,
    line: () => policies().line,
    targets: (request, snapshot) => targetsOf(request, snapshot, policies().aliases),
    rewriting: {
      check: (request, caller) => {
        const { rewrites } = policies();
        checkPrivileges(request, caller, rewrites);
        preloads.check(request, caller, rewrites.preloadsPerMinute, clock.now());
      },
      edits: (request, target, node, caller) => bodyEdits(request, target, node, caller, policies().rewrites),
    },
  });
  const outcomes = new OutcomeLog({
    ...common,
    observe: options.observe,
    refreshTags: options.refreshTags,
    promptNotes,
  });
  const recorder: AnswerRecorder = {
    servedBy: (decisionId, address) => outcomes.servedBy(decisionId, address),
    attemptFailed: (report) => outcomes.attemptFailed(report),
    requestEnded: (outcome) => {
      outcomes.requestEnded(outcome);
      router.ended(outcome);
    },
  };
  return { router, recorder, decisions, demand, promptNotes };
}
