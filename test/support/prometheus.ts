import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { firstExecutable, onPath, type RealProgram } from './find-program.ts';
import { freePort } from './free-port.ts';
import { send } from './http-client.ts';
import { type SpawnedProcess, spawnProcess } from './spawn-process.ts';
import { tempDir } from './temp-dir.ts';
import { waitFor } from './wait-for.ts';

export const prometheusServer: RealProgram = {
  name: 'prometheus',
  path: firstExecutable([process.env.PROMETHEUS, ...onPath('prometheus')]),
  missing:
    'prometheus is not on this machine: install it (Debian and Ubuntu: apt-get install prometheus), or set PROMETHEUS to its path',
};

export interface PrometheusOptions {
  /** `host:port` whose /metrics is scraped every second. */
  readonly target: string;
  readonly ruleFiles: readonly string[];
}

/** One series of an instant query's answer. */
export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

/** A real Prometheus on loopback that keeps its data in a temporary folder. It never outlives this process. */
export class RealPrometheus {
  readonly #url: string;
  readonly #process: SpawnedProcess;

  constructor(url: string, process: SpawnedProcess) {
    this.#url = url;
    this.#process = process;
  }

  /** Throws with Prometheus's own message where the query is wrong. */
  async query(expr: string): Promise<readonly Series[]> {
    const answer = await send(`${this.#url}/api/v1/query?query=${encodeURIComponent(expr)}`);
    // Sound: Prometheus's own API.
    const { data, error } = answer.json() as { data?: { result: Series[] }; error?: string };
    if (data === undefined) throw new Error(`${expr}: ${error ?? answer.text}`);
    return data.result;
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }
}

export async function startPrometheus(program: string, options: PrometheusOptions): Promise<RealPrometheus> {
  const dir = tempDir('wp-prometheus-');
  const port = await freePort();
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: options.ruleFiles,
    scrape_configs: [{ job_name: 'warmpath', static_configs: [{ targets: [options.target] }] }],
  };
  const file = join(dir.path, 'prometheus.yml');
  await writeFile(file, JSON.stringify(config));
  const url = `http://127.0.0.1:${port}`;
  const process = spawnProcess(program, [
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(dir.path, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--log.level=warn',
  ]);
  const server = new RealPrometheus(url, process);
  await waitFor('Prometheus to be ready', async () => (await send(`${url}/-/ready`)).status === 200, {
    timeoutMs: 20_000,
  });
  return server;
}
