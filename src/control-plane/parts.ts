import { randomBytes } from 'node:crypto';
import { createAdminServer } from '../api/admin-server.ts';
import type { EnvoyInfo } from '../api/admin-source.ts';
import { createFleetReads } from '../api/fleet-reads.ts';
import { Alarms } from '../app/alarms.ts';
import { createDecisionCore, type DecisionCore } from '../app/decision-core.ts';
import { drainingNodes } from '../app/drains/drain-causes.ts';
import { ExtProcReport } from '../app/ext-proc-report.ts';
import { Fleet } from '../app/fleet.ts';
import { formatHostPort } from '../app/host-port.ts';
import type { Log } from '../app/log.ts';
import { fleetParams } from '../app/params.ts';
import type { Clock, Random } from '../app/ports.ts';
import { ClosingTime } from '../app/routing/closing-time.ts';
import type { Config } from '../config/config.ts';
import { AccessLogService } from '../envoy/accesslog/service.ts';
import { LastKnownFile } from '../envoy/endpoints/last-known.ts';
import { EndpointPublisher } from '../envoy/endpoints/publisher.ts';
import { grpcAddress } from '../envoy/grpc/bind.ts';
import { LeaseLedger } from '../fleet/ledger.ts';
import { FleetWatcher } from '../nodes/watch-fleet.ts';
import { INFERENCE_ENDPOINTS, READS } from '../request/endpoints.ts';
import type { RoutingParams } from '../routing/params.ts';
import { createStore } from '../store/create.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { VERSION } from '../version.ts';
import { createAdminView } from './admin-view.ts';
import { createAgents } from './agents.ts';
import { createDiscovery, ownListeners } from './discovery.ts';
import { createDrains } from './drains.ts';
import { createInsight } from './insight.ts';
import { Offer } from './offer.ts';
import { grpcBind, lastKnownPath } from './places.ts';
import { createPolicies } from './policies.ts';
import { createProcessor } from './processor.ts';
import { Readiness } from './readiness.ts';
import { createSharing, type Sharing } from './sharing.ts';

export interface ControlPlaneOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly droppedLogLines: () => number;
}

/** What changes while the control plane runs. */
export interface Live {
  config(): Config;
  routing(): RoutingParams;
  envoy(): EnvoyInfo | undefined;
  /** Where gRPC and its health of its own listen; undefined before they do, or where there is none. */
  grpcAddress(): string | undefined;
  healthAddress(): string | undefined;
}

export type Parts = ReturnType<typeof createParts>;

/** All parts of a control plane, wired to each other; none of them runs yet. */
export function createParts(options: ControlPlaneOptions, live: Live) {
  const { config, clock, random, log } = options;
  const replica = randomBytes(4).readUInt32BE().toString(36);
  const alarms = new Alarms(clock, log);
  const metrics = createMetrics({
    version: VERSION,
    envoyVersion: () => live.envoy()?.version,
    paths: [...INFERENCE_ENDPOINTS, ...READS].map(({ path }) => path),
    droppedLogLines: options.droppedLogLines,
  });
  const fleet = new Fleet(config.nodes, fleetParams(config), clock);
  const readiness = new Readiness(fleet, clock);
  const store = createStore(config.store, {
    clock,
    random,
    log,
    stateDir: config.stateDir,
    telemetry: metrics,
  });
  const ledger = new LeaseLedger();
  const closing = new ClosingTime();
  const sharing: Sharing = createSharing({
    store,
    replica,
    version: VERSION,
    fleet,
    ledger,
    clock,
    random,
    log,
    recorder: () => core.recorder,
    pollIntervalMs: () => live.config().poll.interval,
    setPolling: (node, isPolling, delayMs) => watcher.setPolling(node, isPolling, delayMs),
    refreshTags: (node) => watcher.refreshTags(node),
    hasEnvoy: () => publisher.isHeard,
    waiting: () => core.router.waiting,
    onHeard: (node, observation) => {
      insight.heard(node, observation);
      core.promptNotes.heard(node, observation);
      if (observation.kind === 'attempt_served') core.demand.note(observation.model, clock.now());
    },
  });
  const policies = createPolicies(() => live.config());
  const insight = createInsight({
    current: () => live.config(),
    clock,
    random,
    log,
    telemetry: metrics,
  });
  const core: DecisionCore = createDecisionCore({
    fleet,
    ledger,
    clock,
    random,
    log,
    replica,
    telemetry: metrics,
    lineTelemetry: metrics,
    params: () => live.routing(),
    policies: () => policies.current(),
    claims: sharing.claims,
    closing,
    guard: insight.guard,
    inputs: insight.inputs,
    watchers: insight.watchers,
    observe: (node, observation) => sharing.observe(node, observation),
    refreshTags: (node) => watcher.refreshTags(node),
  });
  const { router, decisions } = core;
  const watcher = new FleetWatcher({
    clock,
    random,
    poll: config.poll,
    listeners: ownListeners(config),
    onError: (node, error) => log.error({ err: error, node }, 'watching a node failed'),
    onObservation: (node, observation) => {
      if (observation.kind === 'poll_failed') metrics.pollFailed(node, observation.reason);
      sharing.polled(node, observation);
    },
    isOurs: (node) => sharing.isOurs(node),
  });
  const discovery = createDiscovery({
    config,
    store,
    replica,
    clock,
    random,
    log,
    env: process.env,
    hasRequests: (node) => ledger.onNode(node) > 0,
    nodeAt: (address) => fleet.nodeAt(address),
  });
  const { registry } = discovery;
  const drains = createDrains({
    store,
    replica,
    fleet,
    registry,
    inflight: (node) => ledger.onNode(node),
    clock,
    log,
    config: () => live.config(),
  });
  const agents = createAgents({
    config: () => live.config(),
    clock,
    random,
    log,
    store,
    registry,
    drains: drains.drains,
    observe: (node, observation) => sharing.observe(node, observation),
    record: (node) => fleet.nodes.get(node),
    isOurs: (node) => sharing.isOurs(node),
    telemetry: metrics,
  });
  const lastKnown = new LastKnownFile(lastKnownPath(config.stateDir), log);
  const publisher = new EndpointPublisher({
    telemetry: metrics,
    log,
    onGood: (set, version) => void lastKnown.write(set, version),
  });
  const offer = new Offer({
    clock,
    isHeard: () => publisher.isHeard,
    isHeardElsewhere: () => sharing.isEnvoyElsewhere(),
    hasPeers: () => live.config().replicas.length > 0,
    isForOthers: config.extProc.profile !== 'own',
  });
  const unreadyReasons = (): readonly string[] => {
    const reasons = readiness.reasons();
    if (reasons.length > 0 || offer.isMade) return reasons;
    return ['waiting for an Envoy to take the nodes from here'];
  };
  const reads = createFleetReads(
    () => fleet.snapshot(),
    () => clock.now(),
    () => policies.current().aliases,
  );
  const { profile } = config.extProc;
  const extProc = new ExtProcReport({ profile, clock, alarms, telemetry: metrics });
  const processor = createProcessor({
    config,
    minEndpoints: () => live.config().extProc.minEndpoints,
    clock,
    log,
    router,
    reads,
    telemetry: metrics,
    report: extProc,
    recorder: core.recorder,
    fleet,
    canRoute: () => offer.canRoute,
    callers: (head) => policies.current().callers(head),
  });
  const accessLog = new AccessLogService({ recorder: sharing.recorder, log });
  const view = createAdminView({
    replica,
    // Where clients connect is the matter of whoever else's proxy asks.
    listen: profile === 'own' ? formatHostPort(config.listen) : undefined,
    fleet,
    ledger,
    decisions,
    router,
    sharing: () => sharing.report(config.store.kind),
    pollerOf: (node) => sharing.pollerOf(node),
    alarms,
    clock,
    insight,
    unreadyReasons: () => unreadyReasons(),
    envoy: () => live.envoy(),
    extProc: () => ({
      ...extProc.figures(),
      grpc: live.grpcAddress() ?? grpcAddress(grpcBind(config)),
      tls: config.extProc.tls,
      health: live.healthAddress(),
    }),
  });
  const admin = createAdminServer(view, {
    address: formatHostPort(config.admin),
    allowedHosts: [config.admin.host],
    nodes: drains.nodes,
    metrics: { contentType: metrics.contentType, render: () => metrics.render() },
    onError: (error) => log.error({ err: error }, 'a request to the admin interface failed'),
  });
  metrics.watch({
    now: () => clock.now(),
    snapshot: () => fleet.snapshot(),
    inflight: () => ledger.counts(),
    openLeases: () => ledger.size,
    replicas: () => sharing.replicas().length,
    line: () => router.line(),
    guard: () => insight.guardReport(),
    recording: () => insight.recording(),
    drains: () => drainingNodes(fleet.nodes.values()),
  });
  return {
    fleet,
    alarms,
    metrics,
    readiness,
    ledger,
    closing,
    decisions,
    store,
    sharing,
    discovery,
    drains,
    agents,
    watcher,
    lastKnown,
    publisher,
    extProc,
    processor,
    accessLog,
    admin,
    offer,
    insight,
  };
}
