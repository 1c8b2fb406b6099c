import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { type StatusReport, statusSchema } from '../../src/api/status-schema.ts';
import { requireEnvoy } from './envoy.ts';
import { freePort } from './free-port.ts';
import { send } from './http-client.ts';
import { type SpawnedProcess, spawnProcess } from './spawn-process.ts';
import { type TempDir, tempDir } from './temp-dir.ts';
import { waitFor } from './wait-for.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const STOP_MS = 15_000;

export interface ReplicasOptions {
  readonly nodes: readonly { readonly name: string; readonly url: string; readonly slots?: number }[];
  /** `redis://…`; undefined: each replica keeps its state to itself. */
  readonly redis: string | undefined;
  readonly count?: number;
  /** Envoys: the first asks the first replica as long as it can, the second the second. */
  readonly envoys?: number;
  /** Return only when the replicas know of each other (default where there is a Redis). */
  readonly waitForReplicas?: boolean;
  /** Further configuration of every replica, as in the YAML file. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** The same of one replica only. */
  readonly each?: (index: number) => Readonly<Record<string, unknown>>;
}

/** One `warmpath serve`. It can be killed, stopped and started again; its addresses stay. */
export class Replica {
  readonly index: number;
  readonly adminUrl: string;
  readonly stateDir: string;
  readonly #file: string;
  #process: SpawnedProcess | undefined;

  constructor(index: number, places: { adminUrl: string; stateDir: string; file: string }) {
    this.index = index;
    this.adminUrl = places.adminUrl;
    this.stateDir = places.stateDir;
    this.#file = places.file;
  }

  get process(): SpawnedProcess {
    if (this.#process === undefined) throw new Error(`replica ${this.index} was not started`);
    return this.#process;
  }

  get pid(): number {
    return this.process.pid;
  }

  async start(): Promise<void> {
    const env = { NO_COLOR: '1', WARMPATH_CONFIG: undefined, WARMPATH_NODES: undefined };
    this.#process = spawnProcess(process.execPath, [MAIN, 'serve', '--config', this.#file], { env });
    await this.#process.waitForOutput(/control plane is listening/);
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  /** SIGTERM; resolves when it has drained and ended. */
  async stop(): Promise<void> {
    await this.#process?.stop(STOP_MS);
  }

  /** Ready for requests, as its health tells Envoy. */
  async waitUntilReady(timeoutMs = 15_000): Promise<void> {
    const gaveUp = () =>
      this.process.isRunning ? undefined : `it ended: ${this.process.output.slice(-2_000)}`;
    const isReady = async () => (await send(`${this.adminUrl}/readyz`)).status === 200;
    await waitFor(`replica ${this.index} to be ready`, isReady, { timeoutMs, gaveUp });
  }

  async status(): Promise<StatusReport> {
    return statusSchema.parse((await send(`${this.adminUrl}/status`)).json());
  }

  /** Requests on a node (on all, without a name) as this replica counts them, those of the others included. */
  async inflight(node?: string): Promise<number> {
    const { nodes } = await this.status();
    return nodes.filter(({ name }) => (node ?? name) === name).reduce((sum, each) => sum + each.inflight, 0);
  }

  /** Sum of all series of one metric whose labels include these. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    let sum = 0;
    for (const line of (await send(`${this.adminUrl}/metrics`)).text.split('\n')) {
      const [, found, set = '', value] = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
      if (found !== name) continue;
      if (Object.entries(labels).every(([key, text]) => set.includes(`${key}="${text}"`)))
        sum += Number(value);
    }
    return sum;
  }
}

/** An Envoy with the bootstrap that one replica's `envoy-config` prints. */
export class ReplicasEnvoy {
  readonly url: string;
  readonly #run: () => SpawnedProcess;
  #process: SpawnedProcess;

  constructor(url: string, run: () => SpawnedProcess) {
    this.url = url;
    this.#run = run;
    this.#process = run();
  }

  get process(): SpawnedProcess {
    return this.#process;
  }

  /** After it was killed. */
  restart(): void {
    this.#process = this.#run();
  }
}

/** Several control planes that share a Redis, and Envoys that ask them: what one machine can show of a real set-up. */
export class Replicas {
  readonly replicas: readonly Replica[];
  readonly envoys: readonly ReplicasEnvoy[];
  readonly #dirs: readonly TempDir[];

  constructor(replicas: readonly Replica[], envoys: readonly ReplicasEnvoy[], dirs: readonly TempDir[]) {
    this.replicas = replicas;
    this.envoys = envoys;
    this.#dirs = dirs;
  }

  get url(): string {
    return this.envoy(0).url;
  }

  replica(index: number): Replica {
    const found = this.replicas[index];
    if (found === undefined) throw new Error(`there is no replica ${index}`);
    return found;
  }

  envoy(index: number): ReplicasEnvoy {
    const found = this.envoys[index];
    if (found === undefined) throw new Error(`there is no Envoy ${index}`);
    return found;
  }

  /** Every running replica sees so many replicas. */
  async waitForReplicas(count: number, timeoutMs = 10_000): Promise<void> {
    await waitFor(
      `each replica to see ${count}`,
      async () => {
        for (const replica of this.replicas)
          if (replica.process.isRunning && (await replica.status()).sharing.replicas.length !== count)
            return false;
        return true;
      },
      { timeoutMs },
    );
  }

  /** No running replica has, or sees, anything in flight. */
  async waitUntilIdle(timeoutMs = 5_000): Promise<void> {
    await waitFor(
      'all in-flight figures to return to zero',
      async () => {
        for (const replica of this.replicas) {
          if (!replica.process.isRunning) continue;
          if ((await replica.inflight()) !== 0 || (await replica.metric('warmpath_leases_open')) !== 0)
            return false;
        }
        return true;
      },
      { timeoutMs },
    );
  }

  /** Messages of Envoys that the replicas have answered, all together. */
  async asked(): Promise<number> {
    let sum = 0;
    for (const replica of this.replicas) sum += await replica.metric('warmpath_ext_proc_seconds_count');
    return sum;
  }

  async close(): Promise<void> {
    for (const envoy of this.envoys) await envoy.process.stop();
    await Promise.all(this.replicas.map((replica) => replica.stop()));
    for (const dir of this.#dirs) dir.remove();
  }
}

/** Starts replicas and Envoys on free loopback ports; returns when all replicas are ready and each Envoy is routed. */
export async function startReplicas(options: ReplicasOptions): Promise<Replicas> {
  const { nodes, redis, count = 2, envoys: envoyCount = 1, config = {}, each = () => ({}) } = options;
  const envoyPath = await requireEnvoy();
  const dirs = Array.from({ length: count }, () => tempDir('wp-rep-'));
  const grpc = dirs.map(({ path }) => `unix:${join(path, 'grpc.sock')}`);
  const ports: number[] = [];
  const replicas: Replica[] = [];
  for (const [index, { path }] of dirs.entries()) {
    const [port, adminPort] = [await freePort(), await freePort()];
    ports.push(port);
    const file = join(path, 'warmpath.yaml');
    const settings = {
      listen: `127.0.0.1:${port}`,
      admin: `127.0.0.1:${adminPort}`,
      stateDir: path,
      nodes,
      replicas: grpc.filter((_, other) => other !== index),
      ...(redis === undefined ? {} : { store: { url: redis } }),
      ...config,
      ...each(index),
    };
    writeFileSync(file, stringify(settings));
    replicas.push(new Replica(index, { adminUrl: `http://127.0.0.1:${adminPort}`, stateDir: path, file }));
  }
  const envoys: ReplicasEnvoy[] = [];
  const made = new Replicas(replicas, envoys, dirs);
  try {
    const [bootstraps] = await Promise.all([
      Promise.all(dirs.slice(0, envoyCount).map(({ path }) => writeBootstrap(path))),
      ...replicas.map((replica) => replica.start()),
    ]);
    for (const [index, bootstrap] of bootstraps.entries()) {
      const args = ['-c', bootstrap, '--concurrency', '1', '--use-dynamic-base-id', '-l', 'error'];
      envoys.push(new ReplicasEnvoy(`http://127.0.0.1:${ports[index]}`, () => spawnProcess(envoyPath, args)));
    }
    for (const replica of replicas) await replica.waitUntilReady();
    for (const envoy of envoys) {
      await waitFor('Envoy to be routed', async () => {
        const before = await made.asked();
        await send(`${envoy.url}/api/version`);
        return (await made.asked()) > before;
      }).catch((error: unknown) => {
        throw new Error(`Envoy is not routed; it said: ${envoy.process.output.slice(-2_000)}`, {
          cause: error,
        });
      });
    }
    if (options.waitForReplicas ?? redis !== undefined) await made.waitForReplicas(count);
    return made;
  } catch (error) {
    await made.close();
    throw error;
  }
}

/** What `envoy-config` prints for the replica whose configuration lies there, as a file. */
async function writeBootstrap(dir: string): Promise<string> {
  const file = join(dir, 'external-envoy.yaml');
  const config = join(dir, 'warmpath.yaml');
  const printed = spawnProcess(process.execPath, [MAIN, 'envoy-config', '--config', config]);
  await printed.exited;
  writeFileSync(file, printed.output);
  return file;
}
