import { randomBytes } from 'node:crypto';
import { createAdminServer } from '../api/admin-server.ts';
import type { EnvoyInfo } from '../api/admin-source.ts';
import { createFleetReads } from '../api/fleet-reads.ts';
import { Alarms } from '../app/alarms.ts';
import { DecisionLog } from '../app/decision-log.ts';
import { drainingNodes } from '../app/drain-causes.ts';
import { exposureWarnings } from '../app/exposure-warnings.ts';
import { Fleet } from '../app/fleet.ts';
import { formatHostPort } from '../app/host-port.ts';
import type { Log } from '../app/log.ts';
import { fleetParams, routingParams } from '../app/params.ts';
import type { Clock, Random } from '../app/ports.ts';
import { OutcomeLog } from '../app/record-outcome.ts';
import { Router } from '../app/route-request.ts';
import { RunGroup } from '../app/run-group.ts';
import type { Config } from '../config/config.ts';
import { AccessLogService } from '../envoy/accesslog/service.ts';
import { LastKnownFile } from '../envoy/endpoints/last-known.ts';
import { EndpointPublisher } from '../envoy/endpoints/publisher.ts';
import { type GrpcServer, startGrpcServer } from '../envoy/grpc/server.ts';
import { ProcessorService } from '../envoy/processor/service.ts';
import { LeaseLedger } from '../fleet/ledger.ts';
import { FleetWatcher } from '../nodes/watch-fleet.ts';
import { INFERENCE_ENDPOINTS, READS } from '../request/endpoints.ts';
import type { RoutingParams } from '../routing/params.ts';
import type { Store } from '../store/contract.ts';
import { createStore } from '../store/create.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { VERSION } from '../version.ts';
import { createAdminView } from './admin-view.ts';
import { type Agents, createAgents } from './agents.ts';
import { createDiscovery, type Discovery, ownListeners } from './discovery.ts';
import { createDrains, type DrainsPart } from './drains.ts';
import { EndpointFeed } from './endpoint-feed.ts';
import { grpcBind, lastKnownPath } from './places.ts';
import { Readiness } from './readiness.ts';
import { createSharing, type Sharing, untilKnown } from './sharing.ts';
import { runSweeper } from './sweeper.ts';

/** Decisions that are remembered after their end. */
const DECISIONS_KEPT = 1000;
/** How long Envoy may go on sending after health turned NOT_SERVING. */
const DRAIN_DELAY_MS = 1500;
/** An Envoy that is there subscribes within 200 ms; one that takes its endpoints from elsewhere never does. */
const DELIVERY_MS = 1000;
/** Where there are other replicas they serve meanwhile, and Envoy may have the nodes from one of these. */
const DELIVERY_ELSEWHERE_MS = 5_000;
const DELIVERY_CHECK_MS = 5;
/** How long the parts may take to end. */
const LAST_WORDS_MS = 2_000;

export interface ControlPlaneOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly droppedLogLines: () => number;
}

/** The running control plane: all parts, wired. `start` before use; `stop` drains. */
export class ControlPlane {
  readonly fleet: Fleet;
  readonly alarms: Alarms;
  readonly metrics: ReturnType<typeof createMetrics>;
  readonly readiness: Readiness;
  #config: Config;
  #routing: RoutingParams;
  #envoy: EnvoyInfo | undefined;
  /** Envoys were told that they may ask; some still do while we drain. */
  #isOffered = false;
  #grpc: GrpcServer | undefined;
  readonly #options: ControlPlaneOptions;
  readonly #group = new RunGroup();
  readonly #watcher: FleetWatcher;
  readonly #publisher: EndpointPublisher;
  readonly #lastKnown: LastKnownFile;
  readonly #processor: ProcessorService;
  readonly #accessLog: AccessLogService;
  readonly #admin: ReturnType<typeof createAdminServer>;
  readonly #store: Store;
  readonly #sharing: Sharing;
  readonly #discovery: Discovery;
  readonly #drains: DrainsPart;
  readonly #agents: Agents;
  readonly #ledger = new LeaseLedger();
  readonly #decisions = new DecisionLog(DECISIONS_KEPT);

  constructor(options: ControlPlaneOptions) {
    const { config, clock, random, log } = options;
    this.#options = options;
    this.#config = config;
    this.#routing = routingParams(config);
    const replica = randomBytes(4).readUInt32BE().toString(36);
    this.alarms = new Alarms(clock, log);
    this.metrics = createMetrics({
      version: VERSION,
      envoyVersion: () => this.#envoy?.version,
      paths: [...INFERENCE_ENDPOINTS, ...READS].map(({ path }) => path),
      droppedLogLines: options.droppedLogLines,
    });
    this.fleet = new Fleet(config.nodes, fleetParams(config), clock);
    this.readiness = new Readiness(this.fleet, clock);
    this.#store = createStore(config.store, {
      clock,
      random,
      log,
      stateDir: config.stateDir,
      telemetry: this.metrics,
    });
    this.#sharing = createSharing({
      store: this.#store,
      replica,
      version: VERSION,
      fleet: this.fleet,
      ledger: this.#ledger,
      clock,
      random,
      log,
      recorder: () => recorder,
      pollIntervalMs: () => this.#config.poll.interval,
      setPolling: (node, isPolling, delayMs) => this.#watcher.setPolling(node, isPolling, delayMs),
      refreshTags: (node) => this.#watcher.refreshTags(node),
      hasEnvoy: () => this.#publisher.isHeard,
    });
    const sharing = this.#sharing;
    const parts = { fleet: this.fleet, ledger: this.#ledger, decisions: this.#decisions, log };
    const router = new Router({
      ...parts,
      telemetry: this.metrics,
      clock,
      random,
      params: () => this.#routing,
      replica,
    });
    this.#watcher = new FleetWatcher({
      clock,
      random,
      poll: config.poll,
      listeners: ownListeners(config),
      onError: (node, error) => log.error({ err: error, node }, 'watching a node failed'),
      onObservation: (node, observation) => {
        if (observation.kind === 'poll_failed') this.metrics.pollFailed(node, observation.reason);
        sharing.polled(node, observation);
      },
      isOurs: (node) => sharing.isOurs(node),
    });
    const recorder = new OutcomeLog({
      ...parts,
      telemetry: this.metrics,
      observe: (node, observation) => sharing.observe(node, observation),
      refreshTags: (node) => this.#watcher.refreshTags(node),
    });
    this.#discovery = createDiscovery({
      config,
      store: this.#store,
      replica,
      clock,
      random,
      log,
      env: process.env,
      hasRequests: (node) => this.#ledger.onNode(node) > 0,
      nodeAt: (address) => this.fleet.nodeAt(address),
    });
    const { registry } = this.#discovery;
    registry.onMembers(() => this.#takeMembers());
    this.#drains = createDrains({
      store: this.#store,
      replica,
      fleet: this.fleet,
      registry,
      inflight: (node) => this.#ledger.onNode(node),
      clock,
      log,
      config: () => this.#config,
    });
    this.#agents = createAgents({
      config: () => this.#config,
      clock,
      random,
      log,
      store: this.#store,
      registry,
      drains: this.#drains.drains,
      observe: (node, observation) => sharing.observe(node, observation),
      record: (node) => this.fleet.nodes.get(node),
      isOurs: (node) => sharing.isOurs(node),
      telemetry: this.metrics,
    });
    this.#lastKnown = new LastKnownFile(lastKnownPath(config.stateDir), log);
    this.#publisher = new EndpointPublisher({
      telemetry: this.metrics,
      log,
      onGood: (set, version) => void this.#lastKnown.write(set, version),
    });
    const reads = createFleetReads(
      () => this.fleet.snapshot(),
      () => clock.now(),
    );
    this.#processor = new ProcessorService({
      router,
      reads,
      telemetry: this.metrics,
      clock,
      log,
      canRoute: () => this.#canRoute,
    });
    this.#accessLog = new AccessLogService({ recorder: sharing.recorder, log });
    const view = createAdminView({
      replica,
      listen: formatHostPort(config.listen),
      fleet: this.fleet,
      ledger: this.#ledger,
      decisions: this.#decisions,
      router,
      sharing: () => sharing.report(config.store.kind),
      pollerOf: (node) => sharing.pollerOf(node),
      alarms: this.alarms,
      clock,
      unreadyReasons: () => this.#unreadyReasons(),
      envoy: () => this.#envoy,
    });
    this.#admin = createAdminServer(view, {
      address: formatHostPort(config.admin),
      allowedHosts: [config.admin.host],
      nodes: this.#drains.nodes,
      metrics: { contentType: this.metrics.contentType, render: () => this.metrics.render() },
      onError: (error) => log.error({ err: error }, 'a request to the admin interface failed'),
    });
    this.metrics.watch({
      now: () => clock.now(),
      snapshot: () => this.fleet.snapshot(),
      inflight: () => this.#ledger.counts(),
      openLeases: () => this.#ledger.size,
      replicas: () => sharing.replicas().length,
      drains: () => drainingNodes(this.fleet.nodes.values()),
    });
  }

  /** Listens, restores the last known nodes, starts polling. Throws with the remedy where an address is taken. */
  async start(): Promise<void> {
    const { clock, log } = this.#options;
    const { config } = this;
    for (const warning of exposureWarnings(config)) log.warn({}, warning);
    await this.#lastKnown.ensure();
    const known = await this.#lastKnown.read();
    if (known !== undefined) this.#publisher.restore(known.set, known.version);
    await untilKnown(this.#store, clock);
    await this.#discovery.registry.load();
    this.fleet.replaceNodes(this.#discovery.registry.members(), fleetParams(config));
    await this.#sharing.load();
    await this.#drains.load();
    const feed = new EndpointFeed(this.fleet, this.#publisher, this.alarms, clock);
    this.#logNodes();
    await this.#listenAdmin();
    this.#grpc = await startGrpcServer({
      bind: grpcBind(config),
      limits: { bodyBytes: config.limits.body },
      services: [this.#processor, this.#publisher, this.#accessLog],
      clock,
      log,
    });
    feed.start();
    this.#takeMembers();
    await this.#agents.start();
    this.readiness.onReady(() => {
      feed.settled();
      this.#group.add('first delivery', (signal) => this.#askForRequests(signal));
    });
    this.#group.add('readiness', (signal) => this.readiness.run(signal));
    this.#group.add('sharing', (signal) => this.#sharing.run(signal));
    this.#group.add('discovery', (signal) => this.#discovery.run(signal));
    this.#group.add('drains', (signal) => this.#drains.run(signal));
    this.#group.add('agents', (signal) => this.#agents.run(signal));
    this.#group.add('sweeper', (signal) =>
      runSweeper(
        {
          ledger: this.#ledger,
          decisions: this.#decisions,
          telemetry: this.metrics,
          clock,
        },
        signal,
      ),
    );
  }

  get config(): Config {
    return this.#config;
  }

  /** Takes a valid new configuration over, as far as that works without a restart. */
  apply(config: Config): void {
    this.#config = config;
    this.#routing = routingParams(config);
    this.#discovery.reload(config);
    this.#takeMembers();
  }

  envoyIs(envoy: EnvoyInfo): void {
    this.#envoy = envoy;
  }

  /** Rejects with the first part that failed, by name; resolves after `stop`. */
  done(): Promise<void> {
    return this.#group.done();
  }

  /** Readiness first, then running streams within `deadlineMs`; aborting `signal` cuts them. */
  async stop(deadlineMs: number, signal: AbortSignal): Promise<void> {
    this.readiness.drain();
    // Our own Envoy has ended before: nobody is left who must be told first.
    const isAlone =
      this.#envoy !== undefined && !this.#publisher.isHeard && this.#sharing.replicas().length === 1;
    await this.#grpc?.drain({ delayMs: isAlone ? 0 : DRAIN_DELAY_MS, deadlineMs }, signal);
    this.#group.stop();
    // What was learnt is saved, the other replicas are told; a part that hangs must not keep us from stopping.
    const ended = new AbortController();
    await Promise.race([
      this.#group.done().catch(() => {}),
      this.#options.clock.sleep(LAST_WORDS_MS, ended.signal),
    ]);
    ended.abort();
    await this.#agents.close();
    await this.#watcher.close();
    await this.#admin.close();
    await this.#store.close();
    this.metrics.close();
  }

  /** The fleet is what the registry says, configured and discovered nodes alike. */
  #takeMembers(): void {
    const members = this.#discovery.registry.members();
    this.fleet.replaceNodes(members, fleetParams(this.#config));
    this.#watcher.update(members, this.#config.poll);
    this.#agents.update(members);
  }

  /** The Envoys that ask us may have their endpoints from another replica. */
  get #hasPeers(): boolean {
    return this.#config.replicas.length > 0;
  }

  /** Beside other replicas an Envoy that did not come to us for its endpoints has them from one of these by then. */
  get #canRoute(): boolean {
    return this.#publisher.isHeard || (this.#hasPeers && this.#isOffered);
  }

  /** Who restarts replicas one after the other goes by this: the next may go only when Envoy asks this one. */
  #unreadyReasons(): readonly string[] {
    const reasons = this.readiness.reasons();
    if (reasons.length > 0 || !this.#hasPeers || this.#isOffered) return reasons;
    return ['waiting for an Envoy to take the nodes from this replica or from another'];
  }

  /** Turns healthy, so that Envoy asks us: not before it has the nodes that our answers will name. */
  async #askForRequests(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const startedAt = clock.now();
    const isDue = (): boolean => {
      const waitedMs = clock.now() - startedAt;
      if (this.#publisher.isHeard) return true;
      if (!this.#hasPeers) return waitedMs >= DELIVERY_MS;
      return waitedMs >= (this.#sharing.isEnvoyElsewhere() ? DELIVERY_MS : DELIVERY_ELSEWHERE_MS);
    };
    while (!signal.aborted && !isDue()) await clock.sleep(DELIVERY_CHECK_MS, signal);
    if (signal.aborted) return;
    this.#isOffered = true;
    this.#grpc?.setReady(true);
  }

  async #listenAdmin(): Promise<void> {
    const { host, port } = this.config.admin;
    try {
      await this.#admin.listen({ host, port });
    } catch (error) {
      const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
      if (!isTaken) throw error;
      throw new Error(
        `admin port ${port} is taken: stop what listens there, or use --admin ${host}:${port + 1}`,
        { cause: error },
      );
    }
  }

  #logNodes(): void {
    const { log } = this.#options;
    this.fleet.onStatusChange(({ node, from, to, record }) => {
      const why = record.health.lastFailure;
      if (to === 'ready')
        log.info({ node, from, warm: [...record.resident.keys()] }, `node ${node} is ready`);
      else log.warn({ node, from, reason: why?.reason, detail: why?.detail }, `node ${node} is ${to}`);
    });
  }
}
