import { type ChildProcess, spawn } from 'node:child_process';
import { waitFor } from './wait-for.ts';

export interface SpawnOptions {
  /** Added to this process's environment; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const OUTPUT_LIMIT = 4 * 1024 * 1024;
const running = new Set<SpawnedProcess>();

process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A child process with its output captured. It never outlives this process. */
export class SpawnedProcess {
  readonly pid: number;
  /** Resolves when it has ended; never rejects. */
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #command: string;
  #output = '';
  #exit: Exit | undefined;

  constructor(child: ChildProcess, command: string) {
    this.#child = child;
    this.#command = command;
    this.pid = child.pid ?? -1;
    const keep = (chunk: string): void => {
      this.#output = (this.#output + chunk).slice(-OUTPUT_LIMIT);
    };
    child.stdout?.setEncoding('utf8').on('data', keep);
    child.stderr?.setEncoding('utf8').on('data', keep);
    running.add(this);
    this.exited = new Promise((resolve) => {
      const end = (exit: Exit): void => {
        running.delete(this);
        this.#exit = exit;
        resolve(exit);
      };
      child.once('close', (code, signal) => end({ code, signal }));
      child.once('error', (error) => {
        keep(`${error.message}\n`);
        end({ code: -1, signal: null });
      });
    });
  }

  /** stdout and stderr, in order of arrival. */
  get output(): string {
    return this.#output;
  }

  get isRunning(): boolean {
    return this.#exit === undefined;
  }

  kill(signal: NodeJS.Signals): void {
    if (this.isRunning && this.pid > 0) this.#child.kill(signal);
  }

  /** SIGTERM, and SIGKILL after `graceMs`. Resolves when it has ended. */
  async stop(graceMs = 5000): Promise<Exit> {
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill('SIGKILL'), graceMs);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }

  /** Resolves to the match; rejects, with the output so far, when the process ends or the time is over. */
  async waitForOutput(pattern: RegExp, timeoutMs = 15_000): Promise<RegExpMatchArray> {
    try {
      return await waitFor(`${pattern} from ${this.#command}`, () => this.#output.match(pattern), {
        timeoutMs,
        gaveUp: () => (this.isRunning ? undefined : 'the process has ended'),
      });
    } catch (error) {
      throw new Error(`no ${pattern} from ${this.#command}; it said:\n${this.#output}`, { cause: error });
    }
  }
}

export function spawnProcess(
  command: string,
  args: readonly string[],
  { env = {}, cwd }: SpawnOptions = {},
): SpawnedProcess {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return new SpawnedProcess(child, [command, ...args].join(' '));
}
