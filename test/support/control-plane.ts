import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { type StatusReport, statusSchema } from '../../src/api/status-schema.ts';
import { send } from './http-client.ts';
import { metricSum } from './metric-sum.ts';
import { type SpawnedProcess, type SpawnOptions, spawnProcess } from './spawn-process.ts';
import { type TempDir, tempDir } from './temp-dir.ts';
import { waitFor } from './wait-for.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface ControlPlaneOptions {
  /** As in the YAML file; `grpc` and `admin` have to be in it. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Where `admin` is reached from here. */
  readonly adminUrl: string;
  readonly spawn?: (command: string, args: readonly string[], options?: SpawnOptions) => SpawnedProcess;
}

/** `warmpath serve`, as another gateway's endpoint picker: the control plane without an Envoy of ours. */
export class RunningControlPlane {
  readonly adminUrl: string;
  readonly #options: ControlPlaneOptions;
  readonly #dir: TempDir;
  #process: SpawnedProcess;

  private constructor(options: ControlPlaneOptions, dir: TempDir) {
    this.adminUrl = options.adminUrl;
    this.#options = options;
    this.#dir = dir;
    this.#configure(options.config);
    this.#process = this.#spawn();
  }

  /** Resolves when every node is ready. */
  static async start(options: ControlPlaneOptions): Promise<RunningControlPlane> {
    const plane = new RunningControlPlane(options, tempDir('wp-serve-'));
    try {
      await plane.waitForNodes();
      return plane;
    } catch (error) {
      await plane.stop();
      throw new Error(`warmpath serve does not serve; it said:\n${plane.output}`, { cause: error });
    }
  }

  get output(): string {
    return this.#process.output;
  }

  async status(): Promise<StatusReport> {
    return statusSchema.parse((await send(`${this.adminUrl}/status`)).json());
  }

  /** Sum of all series of one metric whose labels include these. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    return metricSum((await send(`${this.adminUrl}/metrics`)).text, name, labels);
  }

  async waitForNodes(timeoutMs = 15_000): Promise<void> {
    await waitFor(
      'the nodes to be ready',
      async () => (await this.status()).nodes.every((node) => node.status === 'ready'),
      { timeoutMs, gaveUp: () => (this.#process.isRunning ? undefined : 'it has ended') },
    );
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#process.exited;
  }

  /** After `kill`: the same again, or with other settings. */
  async resume(config?: ControlPlaneOptions['config']): Promise<void> {
    if (config !== undefined) this.#configure(config);
    this.#process = this.#spawn();
    await this.waitForNodes();
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  async stop(): Promise<void> {
    await this.#process.stop();
    this.#dir.remove();
  }

  #configure(config: ControlPlaneOptions['config']): void {
    writeFileSync(join(this.#dir.path, 'warmpath.yaml'), stringify({ stateDir: this.#dir.path, ...config }));
  }

  #spawn(): SpawnedProcess {
    const spawn = this.#options.spawn ?? spawnProcess;
    const env = { NO_COLOR: '1', WARMPATH_CONFIG: undefined, WARMPATH_NODES: undefined };
    const file = join(this.#dir.path, 'warmpath.yaml');
    return spawn(process.execPath, [MAIN, 'serve', '--config', file], { env });
  }
}
