import { type SimulatedFleet, startFleet } from '../../sim/fleet.ts';
import { RunningControlPlane } from '../../support/control-plane.ts';
import { freePort } from '../../support/free-port.ts';
import { type Answer, type RequestOptions, send } from '../../support/http-client.ts';
import { spawnProcess } from '../../support/spawn-process.ts';
import { waitFor } from '../../support/wait-for.ts';
import type { Bootstrap } from './bootstrap.ts';
import { MeshEnvoy } from './mesh-envoy.ts';

const GIB = 2 ** 30;
/** In memory on the second node only; every node has it on disk. */
export const WARM = 'warm:8b';
export const WARM_NODE = 'n2';
/** Requests that each node runs at once. */
export const SLOTS = 2;

/** A chat that is not streamed, unless `fields` says otherwise. */
export function chatBody(fields: object = {}): object {
  return { model: WARM, messages: [{ role: 'user', content: 'Hello' }], stream: false, ...fields };
}

/** Where the parts of a rig listen, all on loopback. */
export interface Places {
  readonly clients: number;
  readonly grpc: number;
  readonly nodes: readonly number[];
}

export interface RigOptions {
  readonly bootstrap: (places: Places) => Bootstrap;
  /** Configuration of the control plane beyond its addresses and nodes. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Its environment, which wins over that. */
  readonly env?: (places: Places) => Readonly<Record<string, string>>;
  /** What every request carries, such as the Host that the routes are for. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request, and the node that answered it as far as one did. */
export interface Served extends Answer {
  readonly node: string | undefined;
  /** Whether Warmpath decided where it went. */
  readonly isRouted: boolean;
  readonly bodySha256: string | undefined;
}

/** Three simulated nodes, a real control plane in the profile `epp`, and a real Envoy that is somebody else's. */
export class MeshRig {
  readonly fleet: SimulatedFleet;
  readonly warmpath: RunningControlPlane;
  readonly envoy: MeshEnvoy;
  readonly #headers: Readonly<Record<string, string>>;

  private constructor(
    parts: { fleet: SimulatedFleet; warmpath: RunningControlPlane; envoy: MeshEnvoy },
    headers: Readonly<Record<string, string>>,
  ) {
    this.fleet = parts.fleet;
    this.warmpath = parts.warmpath;
    this.envoy = parts.envoy;
    this.#headers = headers;
  }

  /** Returns when requests are routed. */
  static async start(envoyPath: string, options: RigOptions): Promise<MeshRig> {
    const models = [{ name: WARM, sizeBytes: 5 * GIB }];
    const fleet = await startFleet(3, { models, slots: SLOTS, timeScale: 20, defaultTokens: 16 });
    await fleet.node(WARM_NODE).load(WARM);
    const [clients, grpc, admin] = [await freePort(), await freePort(), await freePort()];
    const places = { clients, grpc, nodes: fleet.nodes.map(({ port }) => port) };
    const warmpath = await RunningControlPlane.start({
      adminUrl: `http://127.0.0.1:${admin}`,
      config: {
        grpc: `127.0.0.1:${grpc}`,
        admin: `127.0.0.1:${admin}`,
        poll: { interval: '200ms' },
        nodes: fleet.specs.map((node) => ({ ...node, slots: SLOTS })),
        extProc: { profile: 'epp', minEndpoints: 3 },
        ...options.config,
      },
      spawn: (command, args, spawn = {}) =>
        spawnProcess(command, args, { ...spawn, env: { ...spawn.env, ...options.env?.(places) } }),
    });
    const envoy = await MeshEnvoy.start(envoyPath, options.bootstrap(places), clients);
    const rig = new MeshRig({ fleet, warmpath, envoy }, options.headers ?? {});
    try {
      await rig.untilRouted();
    } catch (error) {
      await rig.stop();
      throw new Error(`nothing is routed; Warmpath said:\n${warmpath.output}\nEnvoy said:\n${envoy.log}`, {
        cause: error,
      });
    }
    return rig;
  }

  send(path: string, options: RequestOptions = {}): Promise<Answer> {
    return send(`${this.envoy.url}${path}`, {
      ...options,
      headers: { ...this.#headers, ...options.headers },
    });
  }

  /** One chat, and where it went. */
  async chat(fields: object = {}, headers: Readonly<Record<string, string>> = {}): Promise<Served> {
    this.fleet.clearRequests();
    const answer = await this.send('/api/chat', { body: chatBody(fields), headers });
    const last = this.fleet.inference.findLast(({ status }) => status === answer.status);
    return {
      ...answer,
      node: last?.node,
      isRouted: last?.headers['x-warmpath-decision'] !== undefined,
      bodySha256: last?.bodySha256,
    };
  }

  /** Asks what loads no model: unrouted, it may end anywhere. */
  untilRouted(): Promise<boolean> {
    const isRouted = async (): Promise<boolean> => {
      await this.send('/api/show', { body: { model: WARM } });
      return this.fleet.nodes.some(({ requests }) =>
        requests.some(({ headers }) => headers['x-warmpath-decision'] !== undefined),
      );
    };
    this.fleet.clearRequests();
    return waitFor('a request to be routed', isRouted, { timeoutMs: 15_000 });
  }

  async stop(): Promise<void> {
    await this.envoy.stop();
    // It has nothing left to drain.
    await this.warmpath.kill();
    await this.warmpath.stop();
    await this.fleet.close();
  }
}
