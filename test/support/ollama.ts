import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { firstExecutable, onPath, type RealProgram } from './find-program.ts';
import { freePort } from './free-port.ts';
import { send } from './http-client.ts';
import { type SpawnedProcess, spawnProcess } from './spawn-process.ts';
import { tempDir } from './temp-dir.ts';
import { tinyModel } from './tiny-model.ts';
import { waitFor } from './wait-for.ts';

/** The Ollama that tests run: OLLAMA_BIN, else PATH, else the newest in the user's cache. */
export function realOllama(): RealProgram {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'real-ollama');
  return {
    name: 'Ollama',
    path: firstExecutable([process.env.OLLAMA_BIN, ...onPath('ollama'), ...cachedVersions(cache)]),
    missing: `Ollama is missing: set OLLAMA_BIN, put ollama on PATH, or have one in ${cache}/VERSION/bin`,
  };
}

export interface RealOllamaOptions {
  /** Path of the binary. */
  readonly path: string;
  /** Each becomes a tiny model of its own; equal names are equal models on every server. */
  readonly models: readonly string[];
  /** OLLAMA_NUM_PARALLEL, OLLAMA_MAX_QUEUE and so on. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A real Ollama server on loopback. */
export class RealOllama {
  readonly url: string;
  /** Environment with which the `ollama` command line reaches this server. */
  readonly cliEnv: Readonly<Record<string, string>>;
  readonly #server: SpawnedProcess;
  readonly #cleanUp: () => void;

  constructor(server: SpawnedProcess, url: string, cliEnv: Record<string, string>, cleanUp: () => void) {
    this.#server = server;
    this.url = url;
    this.cliEnv = cliEnv;
    this.#cleanUp = cleanUp;
  }

  get pid(): number {
    return this.#server.pid;
  }

  get output(): string {
    return this.#server.output;
  }

  /** As an administrator stops it. */
  async stop(): Promise<void> {
    await this.#server.stop();
    this.#cleanUp();
  }

  /** Crashes the processes that run models; the server goes on and starts new ones when asked. */
  killRunners(): void {
    killAll(childrenOf(this.pid));
  }

  /** As a crash does; its runners end with it. */
  async kill(): Promise<void> {
    const runners = childrenOf(this.pid);
    this.#server.kill('SIGKILL');
    killAll(runners);
    await this.#server.exited;
    this.#cleanUp();
  }
}

/** Starts Ollama with its models created, none loaded. */
export async function startRealOllama({ path, models, env = {} }: RealOllamaOptions): Promise<RealOllama> {
  const dir = tempDir('wp-ollama-');
  const port = await freePort();
  const cliEnv = { HOME: dir.path, OLLAMA_HOST: `127.0.0.1:${port}` };
  const server = spawnProcess(path, ['serve'], {
    cwd: dir.path,
    // A relative model folder: its path goes into the digests of models made here.
    env: { ...cliEnv, OLLAMA_MODELS: 'models', OLLAMA_NO_CLOUD: '1', ...env },
  });
  const url = `http://127.0.0.1:${port}`;
  const ollama = new RealOllama(server, url, cliEnv, () => dir.remove());
  try {
    await waitFor('Ollama', async () => (await send(`${url}/api/version`)).status === 200, {
      timeoutMs: 30_000,
      gaveUp: () => (server.isRunning ? undefined : `it has ended: ${server.output}`),
    });
    for (const model of models) await createModel(path, model, dir.path, cliEnv);
    return ollama;
  } catch (error) {
    await ollama.stop();
    throw error;
  }
}

const MODELFILE = `FROM ./tiny.gguf
PARAMETER num_predict 32
PARAMETER seed 1
PARAMETER num_thread 1
TEMPLATE """{{ range .Messages }}{{ .Role }}: {{ .Content }}
{{ end }}assistant:"""
`;

async function createModel(
  path: string,
  name: string,
  dir: string,
  env: Record<string, string>,
): Promise<void> {
  const seed = createHash('sha256').update(name).digest().readUInt32LE();
  writeFileSync(join(dir, 'tiny.gguf'), tinyModel(seed));
  writeFileSync(join(dir, 'Modelfile'), MODELFILE);
  const create = spawnProcess(path, ['create', name, '-f', 'Modelfile'], { cwd: dir, env });
  const { code } = await create.exited;
  if (code !== 0) throw new Error(`ollama create ${name} failed:\n${create.output}`);
}

/** Newest first. */
function cachedVersions(cache: string): string[] {
  try {
    return readdirSync(cache)
      .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
      .map((version) => join(cache, version, 'bin', 'ollama'));
  } catch {
    return [];
  }
}

function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It had just ended.
    }
  }
}

function childrenOf(pid: number): number[] {
  const parentOf = (candidate: string): number | undefined => {
    try {
      // The name in parentheses may hold blanks; the parent is the second field after it.
      const stat = readFileSync(`/proc/${candidate}/stat`, 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    } catch {
      return undefined;
    }
  };
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && parentOf(entry) === pid)
    .map(Number);
}
