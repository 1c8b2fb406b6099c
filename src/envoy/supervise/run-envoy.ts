import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Random } from '../../app/ports.ts';
import type { RunCommand } from '../bootstrap/command.ts';
import { EnvoyError } from '../bootstrap/envoy-error.ts';
import type { EnvoyBinary } from '../bootstrap/install.ts';
import type { BootstrapOptions } from '../bootstrap/options.ts';
import { renderBootstrap } from '../bootstrap/render.ts';
import { ensureLastKnown } from '../endpoints/ensure-last-known.ts';
import type { EnvoyAdmin } from './admin-client.ts';
import { RestartBackoff } from './backoff.ts';
import type { EnvoyChild, Exit, SpawnEnvoy } from './child.ts';
import { type EnvoyLogLine, LOG_FORMAT, LogThrottle, parseLogLine } from './log-lines.ts';
import { endOrphan, type Processes, writePid } from './orphan.ts';
import { stopEnvoy } from './stop.ts';

/** What happens to Envoy, for whoever tells the operator. */
export type EnvoyEvent =
  | { readonly kind: 'orphan_ended'; readonly pid: number }
  | { readonly kind: 'started'; readonly pid: number | undefined }
  /** Clients are served from now on. */
  | { readonly kind: 'ready' }
  | ({ readonly kind: 'log' } & EnvoyLogLine)
  | { readonly kind: 'crashed'; readonly exit: Exit; readonly restartInMs: number }
  | { readonly kind: 'draining'; readonly activeRequests: number | undefined }
  | { readonly kind: 'stopped' };

export interface RunEnvoyOptions {
  readonly binary: EnvoyBinary;
  readonly bootstrap: BootstrapOptions;
  /** Holds the bootstrap and the pid file; made if missing, closed to other users. */
  readonly stateDir: string;
  /** Worker threads; undefined: one per core. */
  readonly concurrency: number | undefined;
  /** How long running requests may take to end after `signal`. */
  readonly drainMs: number;
  /** Aborting this one ends Envoy at once, drained or not. */
  readonly killSignal: AbortSignal;
  readonly onEvent: (event: EnvoyEvent) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly run: RunCommand;
  readonly spawn: SpawnEnvoy;
  readonly admin: EnvoyAdmin;
  readonly processes: Processes;
  readonly requireFreePort: (listen: { host: string; port: number }) => Promise<void>;
}

const READY_POLL_MS = 50;

/**
 * Runs Envoy until `signal` aborts, then drains and ends it; a crashed one is started again. Throws EnvoyError where
 * it cannot start for a reason that a restart would not cure.
 */
export async function runEnvoy(options: RunEnvoyOptions, signal: AbortSignal): Promise<void> {
  const { stateDir, bootstrap, clock, onEvent } = options;
  const ending = AbortSignal.any([signal, options.killSignal]);
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const file = join(stateDir, 'envoy.yaml');
  const pidFile = join(stateDir, 'envoy.pid');
  const orphan = await endOrphan(pidFile, file, options.processes, clock, ending);
  if (orphan !== undefined) onEvent({ kind: 'orphan_ended', pid: orphan });
  await options.requireFreePort(bootstrap.listen);
  await writePrivate(file, renderBootstrap(bootstrap));
  await ensureLastKnown(bootstrap.lastKnownFile);
  await validate(file, options, ending);
  await superviseEnvoy(file, pidFile, options, ending);
  await rm(pidFile, { force: true });
  onEvent({ kind: 'stopped' });
}

async function superviseEnvoy(
  file: string,
  pidFile: string,
  options: RunEnvoyOptions,
  signal: AbortSignal,
): Promise<void> {
  const { clock, onEvent } = options;
  const backoff = new RestartBackoff(options.random);
  const throttle = new LogThrottle(clock, (line) => onEvent({ kind: 'log', ...line }));
  while (!signal.aborted) {
    if (options.bootstrap.admin.kind === 'unix') await rm(options.bootstrap.admin.path, { force: true });
    const startedAt = clock.now();
    const child = options.spawn(options.binary.path, envoyArguments(file, options), (line) => {
      const parsed = parseLogLine(line);
      if (parsed !== undefined) throttle.add(parsed);
    });
    if (child.pid !== undefined) await writePid(pidFile, child.pid);
    onEvent({ kind: 'started', pid: child.pid });
    const exit = await whileRunning(child, options, signal);
    if (exit === undefined || signal.aborted) return;
    const restartInMs = backoff.next(clock.now() - startedAt);
    onEvent({ kind: 'crashed', exit, restartInMs });
    await clock.sleep(restartInMs, signal);
  }
}

/** Until the process ends by itself (its exit), or `signal` aborts and it has been stopped (undefined). */
async function whileRunning(
  child: EnvoyChild,
  options: RunEnvoyOptions,
  signal: AbortSignal,
): Promise<Exit | undefined> {
  const over = new AbortController();
  const stopped = aborted(signal, over.signal);
  const ready = announceReady(options, AbortSignal.any([over.signal, signal]));
  const exit = await Promise.race([child.exited, stopped]);
  over.abort();
  await ready;
  if (exit !== undefined) return exit;
  await stopEnvoy(child, options);
  return undefined;
}

async function announceReady(options: RunEnvoyOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (await options.admin.isReady()) {
      if (!signal.aborted) options.onEvent({ kind: 'ready' });
      return;
    }
    await options.clock.sleep(READY_POLL_MS, signal);
  }
}

/** Resolves when `signal` aborts; `over` gives the wait up. */
function aborted(signal: AbortSignal, over: AbortSignal): Promise<undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  if (signal.aborted) resolve(undefined);
  signal.addEventListener('abort', () => resolve(undefined), { once: true, signal: over });
  return promise;
}

function envoyArguments(file: string, { concurrency, drainMs }: RunEnvoyOptions): string[] {
  return [
    ...['-c', file],
    ...(concurrency === undefined ? [] : ['--concurrency', String(concurrency)]),
    ...['--drain-time-s', String(Math.max(1, Math.ceil(drainMs / 1000)))],
    ...['--drain-strategy', 'immediate'],
    // No shared memory, so that several can run on one machine.
    '--disable-hot-restart',
    ...['--log-level', 'warning', '--log-format', LOG_FORMAT],
    // A lost control plane is reported by others; here it would be a line per request.
    ...['--component-log-level', 'ext_proc:error'],
  ];
}

/** For an error that the operator can read, before anything runs. */
async function validate(file: string, options: RunEnvoyOptions, signal: AbortSignal): Promise<void> {
  const args = ['--mode', 'validate', '-c', file, '--log-level', 'critical', '--log-format', '%v'];
  const { code, output } = await options.run(options.binary.path, args, signal);
  signal.throwIfAborted();
  if (code === 0) return;
  const reason = output.replace(/^error initializing configuration '[^']*': /m, '').trim();
  throw new EnvoyError(`Envoy ${options.binary.version} refuses its configuration: ${reason}`);
}

/** It may name files with secrets' neighbours: for its owner only, and never half written. */
async function writePrivate(path: string, text: string): Promise<void> {
  const fresh = `${path}.new`;
  await writeFile(fresh, text, { mode: 0o600 });
  await chmod(fresh, 0o600);
  await rename(fresh, path);
}
