import { DecisionLog } from '../app/decision-log.ts';
import { guardWatcher } from '../app/guard-watcher.ts';
import type { Log } from '../app/log.ts';
import { PromptNotes } from '../app/prompt-notes.ts';
import { promptWatcher } from '../app/prompt-watcher.ts';
import { QueryGuard } from '../app/query-guard.ts';
import { OutcomeLog } from '../app/record-outcome.ts';
import { Router } from '../app/routing/router.ts';
import type { Telemetry } from '../app/telemetry-port.ts';
import type { OutcomeRecorder } from '../app/types.ts';
import { ModelDemand } from '../fleet/demand.ts';
import { LeaseLedger } from '../fleet/ledger.ts';
import { DEFAULT_HEALTH, type FleetParams } from '../fleet/params.ts';
import { NodePromptMemory } from '../fleet/prompt-memory.ts';
import { DEFAULT_ROUTING, type RoutingParams } from '../routing/params.ts';
import { type ModelAliases, NO_ALIASES } from '../routing/rewrite-policy.ts';
import { bodyEdits, checkPrivileges } from '../routing/rewrites.ts';
import { targetsOf } from '../routing/targets.ts';
import { DEFAULT_LINE, type LinePolicy } from '../waiting/policy.ts';
import type { FleetFeed } from './fleet-feed.ts';
import type { SimHost } from './types.ts';

/** Decisions that are remembered after their end, as in life. */
const DECISIONS_KEPT = 1_000;

export interface SimControlPlane {
  readonly router: Router;
  readonly recorder: OutcomeRecorder;
  readonly ledger: LeaseLedger;
  readonly decisions: DecisionLog;
}

/** What a configuration says of decisions. */
export interface WarmpathSettings {
  /** Rewrites included. */
  readonly routing: RoutingParams;
  readonly line: LinePolicy;
  readonly aliases: ModelAliases;
  readonly health: FleetParams;
}

/** As without a configuration. */
export const DEFAULT_SETTINGS: WarmpathSettings = {
  routing: DEFAULT_ROUTING,
  line: DEFAULT_LINE,
  aliases: NO_ALIASES,
  health: DEFAULT_HEALTH,
};

/**
 * The deciding parts of a control plane, wired to each other as the live ones are (control-plane/parts.ts), without Envoy, store
 * and metrics.
 */
export function createSimControlPlane(
  host: SimHost,
  feed: FleetFeed,
  { routing, line, aliases }: WarmpathSettings,
): SimControlPlane {
  const { rewrites } = routing;
  const { clock, random } = host;
  const { fleet } = feed;
  const ledger = new LeaseLedger();
  const decisions = new DecisionLog(DECISIONS_KEPT);
  const prompts = new NodePromptMemory();
  const promptNotes = new PromptNotes(prompts, fleet, clock);
  const guard = new QueryGuard();
  const watchers = [guardWatcher(guard, clock), promptWatcher(promptNotes)];
  const common = { fleet, ledger, decisions, clock, watchers, log: SILENT, telemetry: DEAF };
  const router = new Router({
    ...common,
    demand: new ModelDemand(),
    prompts,
    random,
    params: () => routing,
    replica: 'sim',
    line: () => line,
    targets: (request, snapshot) => targetsOf(request, snapshot, aliases),
    rewriting: {
      check: (request, caller) => checkPrivileges(request, caller, rewrites),
      edits: (request, target, node, caller) => bodyEdits(request, target, node, caller, rewrites),
    },
    guard,
  });
  const outcomes = new OutcomeLog({
    ...common,
    observe: (node, observation) => fleet.observe(node, observation),
    refreshTags: (node) => feed.refreshTags(node),
    promptNotes,
  });
  const recorder: OutcomeRecorder = {
    attemptFailed: (report) => outcomes.attemptFailed(report),
    requestEnded: (outcome) => {
      outcomes.requestEnded(outcome);
      router.ended(outcome);
    },
  };
  return { router, recorder, ledger, decisions };
}

const SILENT: Log = { isLevelEnabled: () => false, debug() {}, info() {}, warn() {}, error() {} };

const DEAF: Telemetry = {
  decided() {},
  refused() {},
  attempt() {},
  ended() {},
  leaseReaped() {},
  pollFailed() {},
  configReloaded() {},
};
