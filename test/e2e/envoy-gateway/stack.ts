import { type SimulatedFleet, startFleet } from '../../sim/fleet.ts';
import { RunningControlPlane } from '../../support/control-plane.ts';
import { StandaloneGateway } from '../../support/envoy-gateway.ts';
import {
  type Answer,
  connectRaw,
  type RawConnection,
  type RequestOptions,
  rawRequest,
  send,
} from '../../support/http-client.ts';
import { OwnNetwork } from '../../support/own-network.ts';
import { waitFor } from '../../support/wait-for.ts';
import { HealthClient } from '../../unit/envoy/grpc/health-client.ts';
import { MODEL, QUICK } from '../faults/arena.ts';
import { type Manifest, manifests, pickerConfig } from './manifests.ts';

/** Inside their own network programs may have the ports that the manifests name. */
const GATEWAY_PORT = 11434;
const ADMIN_PORT = 9411;
const GRPC = '127.0.0.1:9002';
const HEALTH_PORT = 9003;

export const DESTINATION = 'x-gateway-destination-endpoint';
/** In memory on this node only. */
export const WARM_NODE = 'n2';
/** On the disk of this node only. */
export const RARE = { model: 'beta:latest', node: 'n3' };
export { MODEL };

/** Simulated nodes behind a real Envoy Gateway with the committed manifests, asked by `warmpath serve` with the settings beside them. */
export class Stack {
  readonly fleet: SimulatedFleet;
  readonly network: OwnNetwork;
  readonly gateway: StandaloneGateway;
  readonly plane: RunningControlPlane;
  readonly url: string;
  readonly #health: HealthClient;

  private constructor(
    parts: Pick<Stack, 'fleet' | 'network' | 'gateway' | 'plane' | 'url'>,
    health: HealthClient,
  ) {
    this.#health = health;
    this.fleet = parts.fleet;
    this.network = parts.network;
    this.gateway = parts.gateway;
    this.plane = parts.plane;
    this.url = parts.url;
  }

  /** Returns when requests are routed. */
  static async start(path: string): Promise<Stack> {
    const [fleet, network] = await Promise.all([startFleet(3, { ...QUICK, slots: 1 }), OwnNetwork.open()]);
    const started: { stop(): Promise<void> }[] = [];
    try {
      await fleet.node(WARM_NODE).load(MODEL);
      for (const node of fleet.nodes) if (node.name !== RARE.node) node.removeModel(RARE.model);
      const ports = fleet.nodes.map(({ port }) => port);
      await Promise.all(ports.map((port) => network.lend(port)));
      const [admin, listener, healthPort] = await Promise.all([
        network.reach(ADMIN_PORT),
        network.reach(GATEWAY_PORT),
        network.reach(HEALTH_PORT),
      ]);
      const plane = await RunningControlPlane.start({
        config: configFor(fleet),
        adminUrl: `http://127.0.0.1:${admin}`,
        spawn: (...args) => network.spawn(...args),
      });
      started.push(plane);
      const health = new HealthClient(`127.0.0.1:${healthPort}`);
      await untilServing(health);
      const gateway = await StandaloneGateway.start(path, network, manifests({ nodes: ports }));
      started.push(gateway);
      const stack = new Stack(
        { fleet, network, gateway, plane, url: `http://127.0.0.1:${listener}` },
        health,
      );
      await stack.untilRouted();
      return stack;
    } catch (error) {
      for (const each of started.reverse()) await each.stop();
      await network.close();
      await fleet.close();
      throw error;
    }
  }

  /** On a connection of its own: older ones have the manifests of their time. */
  send(path: string, options: RequestOptions = {}): Promise<Answer> {
    return send(this.url + path, { ...options, headers: { connection: 'close', ...options.headers } });
  }

  generate(request: object = {}, options: RequestOptions = {}): Promise<Answer> {
    const body = { model: MODEL, prompt: 'hello', stream: false, options: { num_predict: 4 }, ...request };
    return this.send('/api/generate', { ...options, body });
  }

  /** Loads the model on every node; resolves when the control plane knows. */
  async warmAll(): Promise<void> {
    await Promise.all(this.fleet.nodes.map((node) => node.load(MODEL)));
    await waitFor('all nodes to be warm', async () =>
      (await this.plane.status()).nodes.every(({ warm }) => warm.length > 0),
    );
  }

  /** Only WARM_NODE has the model in memory, and the control plane has learnt nothing yet. `changes`: of its settings. */
  async startAfresh(changes: Manifest = {}): Promise<void> {
    await this.plane.kill();
    for (const node of this.fleet.nodes.filter(({ name }) => name !== WARM_NODE)) {
      node.kill();
      await node.start();
    }
    await this.fleet.node(WARM_NODE).load(MODEL);
    const config = configFor(this.fleet);
    await this.plane.resume({ ...config, extProc: { ...config.extProc, ...changes.extProc } });
    await untilServing(this.#health);
  }

  /** How often Envoy has tried again. */
  async retries(): Promise<number> {
    const text = await this.gateway.admin('/stats?filter=rule/0.upstream_rq_retry$');
    return Number(/: (\d+)/.exec(text)?.[1]);
  }

  /** A request that goes on until its connection is reset; resolves when the first words have come. */
  async occupy(): Promise<RawConnection> {
    const connection = await connectRaw(this.url);
    const body = { model: MODEL, prompt: 'hello', options: { num_predict: 100_000 } };
    connection.write(
      rawRequest('POST', '/api/generate', {
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      }),
    );
    await connection.waitFor(/"response"/);
    return connection;
  }

  /** Other manifests from now on: these variants, or none. Returns when Envoy has them, as `isLive` knows from its configuration. */
  async apply(variants: readonly string[], isLive: (configDump: string) => boolean): Promise<void> {
    this.gateway.apply(manifests({ nodes: this.fleet.nodes.map(({ port }) => port) }, variants));
    await waitFor(
      'Envoy to have the manifests',
      async () => isLive(await this.gateway.admin('/config_dump?include_eds')),
      {
        intervalMs: 50,
        timeoutMs: 25_000,
      },
    );
  }

  /** Until Envoy asks the control plane: what it answers itself no node has to. */
  async untilRouted(): Promise<void> {
    const isAsked = async (): Promise<boolean> => {
      const before = await this.plane.metric('warmpath_ext_proc_seconds_count');
      await this.send('/api/version');
      return (await this.plane.metric('warmpath_ext_proc_seconds_count')) > before;
    };
    try {
      await waitFor('a request to be routed', isAsked, { timeoutMs: 20_000 });
    } catch (error) {
      const said = `${this.gateway.output.slice(-4_000)}\n${this.plane.output.slice(-4_000)}`;
      throw new Error(`nothing is routed; the gateway and Warmpath said:\n${said}`, { cause: error });
    }
  }

  /** Nothing is in flight any more by any ledger. */
  async settled(): Promise<void> {
    await waitFor('all in-flight figures to return to zero', async () => {
      for (const name of ['warmpath_leases_open', 'warmpath_node_inflight', 'warmpath_ext_proc_streams'])
        if ((await this.plane.metric(name)) !== 0) return false;
      return true;
    });
  }

  async close(): Promise<void> {
    this.#health.close();
    await this.plane.stop();
    await this.gateway.stop();
    await this.network.close();
    await this.fleet.close();
  }
}

/** An Envoy that comes before, or that gets other manifests, asks for health again only after a minute. */
async function untilServing(health: HealthClient): Promise<void> {
  await waitFor('gRPC health', async () => (await health.check('')) === 'SERVING');
}

/** The committed settings with other addresses. */
function configFor(fleet: SimulatedFleet): Manifest {
  const settings = pickerConfig();
  return {
    ...settings,
    grpc: GRPC,
    extProc: { ...settings.extProc, health: `127.0.0.1:${HEALTH_PORT}` },
    nodes: fleet.specs.map((spec) => ({ ...spec, slots: 1 })),
    // Nodes that the tests break stay in the lists: that the gateway passes them over is what is tested.
    health: { downAfter: 100 },
  };
}
