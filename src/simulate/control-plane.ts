import { DecisionLog } from '../app/decision-log.ts';
import type { Log } from '../app/log.ts';
import { OutcomeLog } from '../app/record-outcome.ts';
import { Router } from '../app/route-request.ts';
import type { Telemetry } from '../app/telemetry-port.ts';
import type { OutcomeRecorder, RequestRouter } from '../app/types.ts';
import { ModelDemand } from '../fleet/demand.ts';
import { LeaseLedger } from '../fleet/ledger.ts';
import { DEFAULT_ROUTING, type RoutingParams } from '../routing/params.ts';
import type { FleetFeed } from './fleet-feed.ts';
import type { SimHost } from './types.ts';

/** Decisions that are remembered after their end, as in life. */
const DECISIONS_KEPT = 1_000;

export interface SimControlPlane {
  readonly router: RequestRouter;
  readonly recorder: OutcomeRecorder;
  readonly ledger: LeaseLedger;
  readonly decisions: DecisionLog;
}

/** The deciding parts of a control plane, wired to each other as the live ones are, without Envoy, store and metrics. */
export function createSimControlPlane(
  host: SimHost,
  feed: FleetFeed,
  routing: RoutingParams = DEFAULT_ROUTING,
): SimControlPlane {
  const { clock, random } = host;
  const { fleet } = feed;
  const ledger = new LeaseLedger();
  const decisions = new DecisionLog(DECISIONS_KEPT);
  const demand = new ModelDemand();
  const common = { fleet, ledger, decisions, log: SILENT, telemetry: DEAF };
  const router = new Router({
    ...common,
    demand,
    prompts: { cachedBytes: () => 0 },
    clock,
    random,
    params: () => routing,
    replica: 'sim',
  });
  const recorder = new OutcomeLog({
    ...common,
    clock,
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
