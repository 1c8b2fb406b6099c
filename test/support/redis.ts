import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { firstExecutable, onPath, type RealProgram } from './find-program.ts';
import { freePort } from './free-port.ts';
import { type SpawnedProcess, spawnProcess } from './spawn-process.ts';
import { tempDir } from './temp-dir.ts';
import { waitFor } from './wait-for.ts';

/** The real Redis. */
export const redisServer: RealProgram = {
  name: 'redis-server',
  path: firstExecutable([process.env.REDIS_SERVER, ...onPath('redis-server')]),
  missing:
    'redis-server is not on this machine: install it (Debian and Ubuntu: apt-get install redis-server), or set REDIS_SERVER to its path',
};

export interface RedisOptions {
  /** Undefined: one from the system. */
  readonly port?: number;
  /** Lines of the configuration, each `name value`. */
  readonly config?: readonly string[];
  readonly isSentinel?: boolean;
}

/** A redis-server on loopback that keeps nothing on the disk. It never outlives this process. */
export class RealRedis {
  readonly port: number;
  readonly #program: string;
  readonly #options: RedisOptions;
  readonly #dir = tempDir('wp-redis-');
  #process: SpawnedProcess | undefined;

  constructor(program: string, port: number, options: RedisOptions) {
    this.#program = program;
    this.port = port;
    this.#options = options;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get url(): string {
    return `redis://${this.address}`;
  }

  get pid(): number {
    return this.#process?.pid ?? -1;
  }

  async start(): Promise<void> {
    const { config = [], isSentinel = false } = this.#options;
    const lines = [
      ...(isSentinel ? [] : ['save ""', 'appendonly no', 'repl-diskless-sync-delay 0']),
      `port ${this.port}`,
      'bind 127.0.0.1',
      'protected-mode no',
      `dir ${this.#dir.path}`,
      ...config,
    ];
    const file = `${this.#dir.path}/redis.conf`;
    await writeFile(file, `${lines.join('\n')}\n`);
    this.#process = spawnProcess(this.#program, [file, ...(isSentinel ? ['--sentinel'] : [])]);
    const running = this.#process;
    await waitFor(
      `redis on ${this.address}`,
      async () => /^(\+PONG|-NOAUTH|-NOPERM)/.test(await this.send('PING')),
      {
        gaveUp: () => (running.isRunning ? undefined : `it ended: ${running.output.slice(-500)}`),
      },
    );
  }

  /** Sends one command as redis-cli would and answers the raw reply, up to the first 64 KiB. Rejects where Redis is not there. */
  async send(...words: readonly string[]): Promise<string> {
    const socket = connect(this.port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
      socket.write(`*${words.length}\r\n${parts.join('')}`);
      const [reply] = (await once(socket, 'data', { signal: AbortSignal.timeout(5_000) })) as [Buffer];
      return reply.toString('utf8').trimEnd();
    } finally {
      socket.destroy();
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  /** As by a power cut. Resolves when it is dead. */
  async crash(): Promise<void> {
    this.#process?.kill('SIGKILL');
    await this.#process?.exited;
  }

  async stop(): Promise<void> {
    this.#process?.kill('SIGCONT');
    this.#process?.kill('SIGKILL');
    await this.#process?.exited;
    this.#dir.remove();
  }
}

export async function startRedis(program: string, options: RedisOptions = {}): Promise<RealRedis> {
  const redis = new RealRedis(program, options.port ?? (await freePort()), options);
  await redis.start();
  return redis;
}
