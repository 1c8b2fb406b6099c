import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Log } from '../app/log.ts';
import type { Clock, Random } from '../app/ports.ts';
import type { Config } from '../config/config.ts';
import { bootstrapOptions, ensureCaFile } from '../control-plane/bootstrap-options.ts';
import { envoyAdminPath, lastKnownPath } from '../control-plane/places.ts';
import { runCommand } from '../envoy/bootstrap/command.ts';
import { type EnvoyBinary, resolveEnvoy } from '../envoy/bootstrap/install.ts';
import type { BootstrapOptions } from '../envoy/bootstrap/options.ts';
import { envoyAdmin } from '../envoy/supervise/admin-client.ts';
import { spawnEnvoy } from '../envoy/supervise/child.ts';
import { endOrphan, processes } from '../envoy/supervise/orphan.ts';
import { requireFreePort } from '../envoy/supervise/port-probe.ts';
import { type EnvoyEvent, runEnvoy } from '../envoy/supervise/run-envoy.ts';
import { ControlPlaneProcess } from './control-plane-process.ts';
import type { FromControlPlane, NodeSummary } from './messages.ts';
import { claimStateDir } from './sole.ts';

export interface UpOptions {
  readonly config: Config;
  /** main.ts (or main.js), and the arguments that start the control plane with the same configuration. */
  readonly script: string;
  readonly serveArgs: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Told once, when clients are served and the first round of polls is over. */
  readonly onUp: (envoy: EnvoyBinary, nodes: readonly NodeSummary[]) => void;
  readonly onProgress: (line: string) => void;
  readonly onHangup: (listener: () => void) => void;
}

/** Nothing is open once Envoy has ended; this is for a control plane that hangs. */
const CONTROL_PLANE_STOP_MS = 5000;

/**
 * Runs Envoy and the control plane side by side; either is restarted while the other goes on serving. When `gentle`
 * aborts, Envoy drains with the control plane still routing, then both end; `now` ends them at once.
 */
export async function runUp(options: UpOptions, gentle: AbortSignal, now: AbortSignal): Promise<void> {
  const { config, clock } = options;
  mkdirSync(dirname(lastKnownPath(config.stateDir)), { recursive: true, mode: 0o700 });
  await ensureCaFile(config);
  const binary = await resolveEnvoy(
    {
      env: process.env,
      configured: config.envoy.path,
      cacheDir: join(config.stateDir, 'envoy'),
      run: runCommand,
      clock,
      onProgress: options.onProgress,
    },
    gentle,
  );
  const bootstrap = bootstrapOptions(config);
  const giveBack = await claimStateDir(config.stateDir, options.script, processes);
  try {
    await runBoth(options, binary, bootstrap, gentle, now);
  } finally {
    await giveBack();
  }
}

async function runBoth(
  options: UpOptions,
  binary: EnvoyBinary,
  bootstrap: BootstrapOptions,
  gentle: AbortSignal,
  now: AbortSignal,
): Promise<void> {
  const { config, clock, log } = options;
  await endOrphanOf(config.stateDir, log, clock, gentle);
  await requireFreePort(bootstrap.listen);

  const up = new UpAnnouncement((nodes) => options.onUp(binary, nodes));
  const controlPlane = new ControlPlaneProcess({
    script: options.script,
    args: options.serveArgs,
    stateDir: config.stateDir,
    stopTimeoutMs: CONTROL_PLANE_STOP_MS,
    clock,
    random: options.random,
    log,
    onMessage: (message) => up.hear(message),
  });
  now.addEventListener('abort', () => controlPlane.kill(), { once: true });
  options.onHangup(() => controlPlane.reload());

  // The first to fail stops the other; Envoy goes first, so that what it drains is still routed.
  const envoyEnds = new AbortController();
  const controlPlaneEnds = new AbortController();
  const stopEnvoy = () => envoyEnds.abort();
  gentle.addEventListener('abort', stopEnvoy, { once: true });
  if (gentle.aborted) stopEnvoy();

  let restarts = 0;
  const onEnvoy = (event: EnvoyEvent) => {
    if (event.kind === 'crashed') restarts += 1;
    if (event.kind === 'started')
      controlPlane.tellEnvoy({ type: 'envoy', version: binary.version, pid: event.pid, restarts });
    if (event.kind === 'ready') up.envoyIsReady();
    if (event.kind === 'draining') controlPlane.tellDrain(config.envoy.drainTime);
    // Where it must end because the control plane cannot start, nobody waits for its requests.
    if (event.kind !== 'draining' || gentle.aborted) logEnvoy(log, event);
  };
  const planeRun = controlPlane.run(controlPlaneEnds.signal).catch((error: unknown) => {
    stopEnvoy();
    throw error;
  });
  const envoyRun = runEnvoy(
    {
      binary,
      bootstrap,
      stateDir: config.stateDir,
      concurrency: config.envoy.concurrency,
      drainMs: config.envoy.drainTime,
      killSignal: now,
      onEvent: onEnvoy,
      clock,
      random: options.random,
      run: runCommand,
      spawn: spawnEnvoy,
      admin: envoyAdmin({ kind: 'unix', path: envoyAdminPath(config.stateDir) }),
      processes,
      requireFreePort,
    },
    envoyEnds.signal,
  ).finally(() => controlPlaneEnds.abort());
  const results = await Promise.allSettled([envoyRun, planeRun]);
  for (const result of results) {
    if (result.status === 'rejected' && !gentle.aborted) throw result.reason;
  }
}

/** An Envoy whose supervisor was killed: it holds the port that we are about to ask for. */
async function endOrphanOf(stateDir: string, log: Log, clock: Clock, signal: AbortSignal): Promise<void> {
  const pid = await endOrphan(
    join(stateDir, 'envoy.pid'),
    join(stateDir, 'envoy.yaml'),
    processes,
    clock,
    signal,
  );
  if (pid !== undefined) logEnvoy(log, { kind: 'orphan_ended', pid });
}

/** Waits for Envoy and the first round of polls, in whichever order they come, and tells once. */
class UpAnnouncement {
  readonly #tell: (nodes: readonly NodeSummary[]) => void;
  #nodes: readonly NodeSummary[] | undefined;
  #isEnvoyReady = false;
  #isTold = false;

  constructor(tell: (nodes: readonly NodeSummary[]) => void) {
    this.#tell = tell;
  }

  hear(message: FromControlPlane): void {
    if (message.type !== 'fleet') return;
    this.#nodes = message.nodes;
    this.#check();
  }

  envoyIsReady(): void {
    this.#isEnvoyReady = true;
    this.#check();
  }

  #check(): void {
    if (this.#isTold || !this.#isEnvoyReady || this.#nodes === undefined) return;
    this.#isTold = true;
    this.#tell(this.#nodes);
  }
}

function logEnvoy(log: Log, event: EnvoyEvent): void {
  switch (event.kind) {
    case 'orphan_ended':
      log.info({ pid: event.pid }, 'ended an Envoy that an earlier start had left behind');
      break;
    case 'crashed':
      log.error(
        { exit: event.exit, restartInMs: Math.round(event.restartInMs) },
        'Envoy ended unexpectedly, restarting it',
      );
      break;
    case 'draining':
      log.info(
        { activeRequests: event.activeRequests },
        'stopping: no new connections, running requests may finish (again to stop at once)',
      );
      break;
    case 'log':
      log.warn({ envoy: event.component }, event.message);
      break;
    case 'started':
    case 'ready':
    case 'stopped':
      log.debug({ event: event.kind }, 'Envoy');
  }
}
