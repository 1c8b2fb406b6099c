import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type SpawnedProcess, spawnProcess } from '../../support/spawn-process.ts';
import { type TempDir, tempDir } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';
import type { Bootstrap } from './bootstrap.ts';

/** Real Envoy with any bootstrap, its admin page on a socket in a folder of its own. */
export class MeshEnvoy {
  readonly url: string;
  readonly #dir: TempDir;
  readonly #process: SpawnedProcess;

  private constructor(url: string, dir: TempDir, process: SpawnedProcess) {
    this.url = url;
    this.#dir = dir;
    this.#process = process;
  }

  /** Whether Envoy would take it: resolves to its complaint, or undefined. */
  static async complaint(envoy: string, bootstrap: Bootstrap): Promise<string | undefined> {
    const dir = tempDir();
    try {
      const args = ['--mode', 'validate', '-c', write(dir, bootstrap), '-l', 'error'];
      const check = spawnProcess(envoy, args);
      return (await check.exited).code === 0 ? undefined : check.output;
    } finally {
      dir.remove();
    }
  }

  /** `port`: where its first listener listens. */
  static async start(envoy: string, bootstrap: Bootstrap, port: number): Promise<MeshEnvoy> {
    const dir = tempDir();
    const args = [
      '-c',
      write(dir, bootstrap),
      '--concurrency',
      '1',
      '--disable-hot-restart',
      '-l',
      'warning',
    ];
    const process = spawnProcess(envoy, args);
    const started = new MeshEnvoy(`http://127.0.0.1:${port}`, dir, process);
    await waitFor('Envoy', async () => (await started.admin('/ready')).startsWith('LIVE'), {
      gaveUp: () => (process.isRunning ? undefined : `it has ended:\n${process.output}`),
    });
    return started;
  }

  get isRunning(): boolean {
    return this.#process.isRunning;
  }

  /** What it logged. */
  get log(): string {
    return this.#process.output;
  }

  /** One page of its admin interface. */
  async admin(path: string): Promise<string> {
    const ask = request({ socketPath: join(this.#dir.path, 'admin.sock'), path, timeout: 5_000 });
    ask.end();
    const [response] = (await once(ask, 'response')) as [AsyncIterable<Buffer>];
    const parts: Buffer[] = [];
    for await (const part of response) parts.push(part);
    return Buffer.concat(parts).toString();
  }

  /** Sum of the counters and gauges whose name matches. */
  async stat(name: RegExp): Promise<number> {
    const text = await this.admin(`/stats?filter=${encodeURIComponent(name.source)}`);
    return [...text.matchAll(/: (\d+)$/gm)].reduce((sum, [, value]) => sum + Number(value), 0);
  }

  async stop(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#process.exited;
    this.#dir.remove();
  }
}

function write(dir: TempDir, bootstrap: Bootstrap): string {
  const file = join(dir.path, 'bootstrap.yaml');
  const admin = { address: { pipe: { path: join(dir.path, 'admin.sock'), mode: 0o600 } } };
  writeFileSync(file, stringify({ ...bootstrap, admin }, { aliasDuplicateObjects: false }));
  return file;
}
