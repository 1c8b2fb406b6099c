import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { type StatusReport, statusSchema } from '../../src/api/status-schema.ts';
import { realEnvoy } from './envoy.ts';
import { freePort } from './free-port.ts';
import { send } from './http-client.ts';
import { metricSum } from './metric-sum.ts';
import { type SpawnedProcess, spawnProcess } from './spawn-process.ts';
import { tempDir } from './temp-dir.ts';
import { waitFor } from './wait-for.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const STOP_MS = 15_000;

export interface WarmpathOptions {
  readonly nodes: readonly { readonly name: string; readonly url: string }[];
  /** Further configuration, as in the YAML file. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Further flags of `warmpath up`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Return only when every node is ready and requests are routed (default), or as soon as Envoy answers. */
  readonly waitForNodes?: boolean;
  readonly timeoutMs?: number;
}

/** Process ids by role. They change when the supervisor restarts a child: each access reads them anew. */
export interface WarmpathPids {
  readonly supervisor: number;
  readonly controlPlane: number;
  readonly envoy: number;
}

/** A whole Warmpath, started as a user starts it. */
export class RunningWarmpath {
  readonly url: string;
  readonly adminUrl: string;
  readonly stateDir: string;
  readonly #process: SpawnedProcess;
  readonly #cleanUp: () => void;
  readonly #atExit = (): void => this.kill();

  constructor(
    process: SpawnedProcess,
    places: { url: string; adminUrl: string; stateDir: string },
    cleanUp: () => void,
  ) {
    this.#process = process;
    this.url = places.url;
    this.adminUrl = places.adminUrl;
    this.stateDir = places.stateDir;
    this.#cleanUp = cleanUp;
    // First of all exit listeners: afterwards the pid files are gone.
    globalThis.process.prependListener('exit', this.#atExit);
  }

  /** What it has printed so far. */
  get output(): string {
    return this.#process.output;
  }

  get process(): SpawnedProcess {
    return this.#process;
  }

  get pids(): WarmpathPids {
    return {
      supervisor: this.#process.pid,
      controlPlane: this.#pidOf('control-plane'),
      envoy: this.#pidOf('envoy'),
    };
  }

  async status(): Promise<StatusReport> {
    const answer = await send(`${this.adminUrl}/status`);
    return statusSchema.parse(answer.json());
  }

  /** /metrics as text. */
  async metrics(): Promise<string> {
    return (await send(`${this.adminUrl}/metrics`)).text;
  }

  /** Sum of all series of one metric whose labels include these. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    return metricSum(await this.metrics(), name, labels);
  }

  /** Waits until each of these nodes, or all, is `ready`. */
  async waitForNodes(names?: readonly string[], timeoutMs = 15_000): Promise<void> {
    await waitFor(
      'the nodes to be ready',
      async () => {
        const { nodes } = await this.status();
        const wanted = names ?? nodes.map((node) => node.name);
        return wanted.every((name) => nodes.some((node) => node.name === name && node.status === 'ready'));
      },
      { timeoutMs, gaveUp: () => this.#ended() },
    );
  }

  /** Waits until Envoy asks the control plane; before, it fails open. */
  async waitUntilRouting(timeoutMs = 15_000): Promise<void> {
    await waitFor(
      'the first request to be routed',
      async () => {
        await send(`${this.url}/api/version`);
        return (await this.metric('warmpath_ext_proc_seconds_count')) > 0;
      },
      { timeoutMs, gaveUp: () => this.#ended() },
    );
  }

  async waitUntilServing(timeoutMs: number): Promise<void> {
    const options = { timeoutMs, gaveUp: () => this.#ended() };
    try {
      await waitFor(
        'the control plane',
        async () => (await send(`${this.adminUrl}/healthz`)).status === 200,
        options,
      );
      await waitFor('Envoy', async () => (await send(`${this.url}/api/version`)).status < 500, options);
    } catch (error) {
      throw new Error(`Warmpath does not serve; it said:\n${this.output}`, { cause: error });
    }
  }

  /** SIGTERM to the supervisor, as Ctrl-C does; nothing of it is left afterwards. */
  async stop(): Promise<void> {
    const { code } = await this.#process.stop(STOP_MS);
    // A supervisor that did not end as it should leaves its children behind.
    if (code !== 0) this.kill();
    globalThis.process.off('exit', this.#atExit);
    this.#cleanUp();
  }

  /** A second faster than `stop`: for those that do not test how it ends. */
  async end(): Promise<void> {
    this.kill();
    await this.#process.exited;
    globalThis.process.off('exit', this.#atExit);
    this.#cleanUp();
  }

  /** SIGKILL to all of it, the supervisor first, so that it restarts nothing. */
  kill(): void {
    this.#process.kill('SIGKILL');
    for (const role of ['control-plane', 'envoy']) {
      const pid = this.#tryPidOf(role);
      if (pid !== undefined) killIfAlive(pid);
    }
  }

  #pidOf(role: string): number {
    const pid = this.#tryPidOf(role);
    if (pid === undefined) throw new Error(`${role} has no pid file in ${this.stateDir}`);
    return pid;
  }

  #tryPidOf(role: string): number | undefined {
    const file = join(this.stateDir, `${role}.pid`);
    if (!existsSync(file)) return undefined;
    const pid = Number(readFileSync(file, 'utf8').trim());
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  }

  #ended(): string | undefined {
    return this.#process.isRunning ? undefined : 'warmpath has ended';
  }
}

/** Starts `warmpath up` on free loopback ports with a state directory of its own. */
export async function startWarmpath(options: WarmpathOptions): Promise<RunningWarmpath> {
  const dir = tempDir('wp-up-');
  const [port, adminPort] = [await freePort(), await freePort()];
  const args = ['up', '--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${adminPort}`];
  args.push('--state-dir', dir.path);
  for (const { name, url } of options.nodes) args.push('--node', `${name}=${url}`);
  if (options.config !== undefined) {
    const file = join(dir.path, 'warmpath.yaml');
    writeFileSync(file, stringify(options.config));
    args.push('--config', file);
  }
  args.push(...(options.args ?? []));
  const envoy = await realEnvoy();
  const child = spawnProcess(process.execPath, [MAIN, ...args], {
    env: {
      ENVOY: envoy.path,
      NO_COLOR: '1',
      WARMPATH_CONFIG: undefined,
      WARMPATH_NODES: undefined,
      ...options.env,
    },
  });
  const places = {
    url: `http://127.0.0.1:${port}`,
    adminUrl: `http://127.0.0.1:${adminPort}`,
    stateDir: dir.path,
  };
  const warmpath = new RunningWarmpath(child, places, () => dir.remove());
  try {
    const timeoutMs = options.timeoutMs ?? 30_000;
    await warmpath.waitUntilServing(timeoutMs);
    if (options.waitForNodes ?? true) {
      await warmpath.waitForNodes(
        options.nodes.map((node) => node.name),
        timeoutMs,
      );
      await warmpath.waitUntilRouting(timeoutMs);
    }
    return warmpath;
  } catch (error) {
    await warmpath.stop();
    throw error;
  }
}

function killIfAlive(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It had ended already.
  }
}
