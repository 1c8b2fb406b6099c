import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** How a process ended: one of the two is set; neither where it could not be started. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A running Envoy, as its supervisor sees it. */
export interface EnvoyChild {
  readonly pid: number | undefined;
  /** Resolves when the process is gone; never rejects. */
  readonly exited: Promise<Exit>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts Envoy; every line that it logs goes to `onLine`. */
export type SpawnEnvoy = (
  path: string,
  args: readonly string[],
  onLine: (line: string) => void,
) => EnvoyChild;

/** In a process group of its own: Ctrl-C in a terminal reaches the supervisor only, which drains Envoy first. */
export const spawnEnvoy: SpawnEnvoy = (path, args, onLine) => {
  const child = spawn(path, args, { detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
  createInterface({ input: child.stderr }).on('line', onLine);
  const { promise, resolve } = Promise.withResolvers<Exit>();
  child.on('exit', (code, signal) => resolve({ code, signal }));
  child.on('error', (error) => {
    onLine(`critical\tsupervisor\t${error.message}`);
    resolve({ code: null, signal: null });
  });
  return { pid: child.pid, exited: promise, kill: (signal) => void child.kill(signal) };
};
