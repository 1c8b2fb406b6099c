import type { EnvoyInfo } from '../api/admin-source.ts';
import { exposureWarnings } from '../app/exposure-warnings.ts';
import { fleetParams, routingParams } from '../app/params.ts';
import { RunGroup } from '../app/run-group.ts';
import type { Config } from '../config/config.ts';
import { type GrpcServer, startGrpcServer } from '../envoy/grpc/server.ts';
import type { RoutingParams } from '../routing/params.ts';
import { EndpointFeed } from './endpoint-feed.ts';
import { grpcOptions } from './grpc-options.ts';
import { type ControlPlaneOptions, createParts, type Parts } from './parts.ts';
import { untilKnown } from './sharing.ts';
import { runSweeper } from './sweeper.ts';

/** How long Envoy may go on sending after health turned NOT_SERVING. */
const DRAIN_DELAY_MS = 1500;
/** How long the parts may take to end. */
const LAST_WORDS_MS = 2_000;

/** The running control plane. `start` before use; `stop` drains. */
export class ControlPlane {
  readonly #options: ControlPlaneOptions;
  readonly #parts: Parts;
  readonly #group = new RunGroup();
  #config: Config;
  #routing: RoutingParams;
  #envoy: EnvoyInfo | undefined;
  #grpc: GrpcServer | undefined;

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#routing = routingParams(options.config);
    this.#parts = createParts(options, {
      config: () => this.#config,
      routing: () => this.#routing,
      envoy: () => this.#envoy,
      grpcAddress: () => this.#grpc?.address,
      healthAddress: () => this.#grpc?.healthAddress,
    });
    this.#parts.discovery.registry.onMembers(() => this.#takeMembers());
  }

  get fleet(): Parts['fleet'] {
    return this.#parts.fleet;
  }

  get alarms(): Parts['alarms'] {
    return this.#parts.alarms;
  }

  get metrics(): Parts['metrics'] {
    return this.#parts.metrics;
  }

  get readiness(): Parts['readiness'] {
    return this.#parts.readiness;
  }

  /** Listens, restores the last known nodes, starts polling. Throws with the remedy where an address is taken. */
  async start(): Promise<void> {
    const { clock, log } = this.#options;
    const { config } = this;
    for (const warning of exposureWarnings(config)) log.warn({}, warning);
    await this.#parts.lastKnown.ensure();
    const known = await this.#parts.lastKnown.read();
    if (known !== undefined) this.#parts.publisher.restore(known.set, known.version);
    await untilKnown(this.#parts.store, clock);
    await this.#parts.discovery.load();
    this.#parts.fleet.replaceNodes(this.#parts.discovery.registry.members(), fleetParams(config));
    await this.#parts.sharing.load();
    await this.#parts.drains.load();
    const feed = new EndpointFeed(this.#parts.fleet, this.#parts.publisher, this.#parts.alarms, clock);
    this.#logNodes();
    await this.#listenAdmin();
    this.#grpc = await startGrpcServer({
      ...grpcOptions(config),
      limits: { bodyBytes: config.limits.body },
      services: [this.#parts.processor, this.#parts.publisher, this.#parts.accessLog],
      onStranger: (problem, peer) => this.#parts.extProc.refused(problem, peer),
      clock,
      log,
    });
    feed.start();
    this.#takeMembers();
    await this.#parts.agents.start();
    this.#parts.readiness.onReady(() => {
      feed.settled();
      this.#group.add('offer', (signal) => this.#parts.offer.run(() => this.#grpc?.setReady(true), signal));
    });
    this.#group.add('readiness', (signal) => this.#parts.readiness.run(signal));
    this.#group.add('ext_proc', (signal) => this.#parts.extProc.run(signal));
    this.#group.add('sharing', (signal) => this.#parts.sharing.run(signal));
    this.#group.add('discovery', (signal) => this.#parts.discovery.run(signal));
    this.#group.add('drains', (signal) => this.#parts.drains.run(signal));
    this.#group.add('agents', (signal) => this.#parts.agents.run(signal));
    this.#group.add('sweeper', (signal) =>
      runSweeper(
        {
          ledger: this.#parts.ledger,
          decisions: this.#parts.decisions,
          telemetry: this.#parts.metrics,
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
    this.#parts.discovery.reload(config);
    this.#takeMembers();
  }

  envoyIs(envoy: EnvoyInfo): void {
    this.#envoy = envoy;
  }

  /** Envoy ends in so many ms at the latest: who would wait for longer is told before. */
  envoyEndsIn(ms: number): void {
    this.#parts.closing.endsIn(ms, this.#options.clock.now(), 'ends');
  }

  /** Rejects with the first part that failed, by name; resolves after `stop`. */
  done(): Promise<void> {
    return this.#group.done();
  }

  /** Readiness first, then running streams within `deadlineMs`; who waits is sent on in time. Aborting `signal` cuts them. */
  async stop(deadlineMs: number, signal: AbortSignal): Promise<void> {
    this.#parts.readiness.drain();
    // Our own Envoy has ended before: nobody is left who must be told first.
    const isAlone =
      this.#envoy !== undefined &&
      !this.#parts.publisher.isHeard &&
      this.#parts.sharing.replicas().length === 1;
    const delayMs = isAlone ? 0 : DRAIN_DELAY_MS;
    this.#parts.closing.endsIn(delayMs + deadlineMs, this.#options.clock.now(), 'stays');
    await this.#grpc?.drain({ delayMs, deadlineMs }, signal);
    this.#group.stop();
    // What was learnt is saved, the other replicas are told; a part that hangs must not keep us from stopping.
    const ended = new AbortController();
    await Promise.race([
      this.#group.done().catch(() => {}),
      this.#options.clock.sleep(LAST_WORDS_MS, ended.signal),
    ]);
    ended.abort();
    await this.#parts.agents.close();
    await this.#parts.watcher.close();
    await this.#parts.admin.close();
    await this.#parts.insight.close();
    await this.#parts.store.close();
    this.#parts.metrics.close();
  }

  /** The fleet is what the registry says, configured and discovered nodes alike. */
  #takeMembers(): void {
    const members = this.#parts.discovery.registry.members();
    this.#parts.fleet.replaceNodes(members, fleetParams(this.#config));
    this.#parts.watcher.update(members, this.#config.poll);
    this.#parts.agents.update(members);
  }

  async #listenAdmin(): Promise<void> {
    const { host, port } = this.config.admin;
    try {
      await this.#parts.admin.listen({ host, port });
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
    this.#parts.fleet.onStatusChange(({ node, from, to, record }) => {
      const why = record.health.lastFailure;
      if (to === 'ready')
        log.info({ node, from, warm: [...record.resident.keys()] }, `node ${node} is ready`);
      else log.warn({ node, from, reason: why?.reason, detail: why?.detail }, `node ${node} is ${to}`);
    });
  }
}
