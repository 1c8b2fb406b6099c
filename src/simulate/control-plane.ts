import { createDecisionCore } from '../app/decision-core.ts';
import type { DecisionLog } from '../app/decision-log.ts';
import { guardWatcher } from '../app/guard-watcher.ts';
import type { Log } from '../app/log.ts';
import { QueryGuard } from '../app/query-guard.ts';
import type { Router } from '../app/routing/router.ts';
import type { Telemetry } from '../app/telemetry-port.ts';
import type { OutcomeRecorder } from '../app/types.ts';
import { LeaseLedger } from '../fleet/ledger.ts';
import { DEFAULT_HEALTH, type FleetParams } from '../fleet/params.ts';
import { DEFAULT_ROUTING, type RoutingParams } from '../routing/params.ts';
import { type ModelAliases, NO_ALIASES } from '../routing/rewrite-policy.ts';
import { DEFAULT_LINE, type LinePolicy } from '../waiting/policy.ts';
import type { FleetFeed } from './fleet-feed.ts';
import type { SimHost } from './types.ts';

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

/** The deciding parts of a control plane, without Envoy, store and metrics. */
export function createSimControlPlane(
  host: SimHost,
  feed: FleetFeed,
  { routing, line, aliases }: WarmpathSettings,
): SimControlPlane {
  const { clock, random } = host;
  const { fleet } = feed;
  const ledger = new LeaseLedger();
  const guard = new QueryGuard();
  const policies = { line, aliases, rewrites: routing.rewrites };
  const { router, recorder, decisions } = createDecisionCore({
    fleet,
    ledger,
    clock,
    random,
    guard,
    log: SILENT,
    telemetry: DEAF,
    replica: 'sim',
    params: () => routing,
    policies: () => policies,
    watchers: [guardWatcher(guard, clock)],
    observe: (node, observation) => fleet.observe(node, observation),
    refreshTags: (node) => feed.refreshTags(node),
  });
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
