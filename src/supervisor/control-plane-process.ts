import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../app/log.ts';
import type { Clock, Random } from '../app/ports.ts';
import { RestartBackoff } from '../envoy/supervise/backoff.ts';
import type { EnvoyNews, FromControlPlane, FromSupervisor } from './messages.ts';
// Room for what dies young, collected by one thread that takes no core from Envoy; and so much for the rest that the bodies that
// come by do not have it collected again and again.
import nodeFlags from './node-flags.json' with { type: 'json' };

export interface ControlPlaneOptions {
  /** Arguments after the script: `serve --config …`. */
  readonly args: readonly string[];
  readonly script: string;
  readonly stateDir: string;
  /** How long a stopped control plane may drain before it is killed, ms. */
  readonly stopTimeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly onMessage: (message: FromControlPlane) => void;
}

/** The control plane ended before it ever listened, for a reason that it has told itself and that a restart would repeat. */
export class ControlPlaneStartError extends Error {
  constructor() {
    super('the control plane could not start');
    this.name = 'ControlPlaneStartError';
  }
}

/**
 * Keeps one control plane running. While it is down Envoy goes on serving over the last known nodes, so a crash costs
 * model-awareness for a moment and no request.
 */
export class ControlPlaneProcess {
  readonly #options: ControlPlaneOptions;
  #child: ChildProcess | undefined;
  #isStopping = false;
  /** One of them has worked: whatever ends a later one, Envoy must not end with it. */
  #hasListened = false;
  #envoy: EnvoyNews | undefined;
  /** Monotonic ms when Envoy ends at the latest; undefined: it does not drain. */
  #envoyEndsAt: number | undefined;

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
  }

  /**
   * Runs and restarts it until `signal` aborts, then stops it and waits for its end. Throws ControlPlaneStartError where
   * the first one gives up before it listens: a bad config, a taken port.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#options;
    signal.addEventListener('abort', () => void this.#stop(), { once: true });
    const backoff = new RestartBackoff(random);
    while (!signal.aborted) {
      const startedAt = clock.now();
      const exit = await this.#runOnce();
      if (this.#isStopping || signal.aborted) return;
      const gaveUp = exit.code !== null && exit.code !== 0;
      if (gaveUp && !this.#hasListened) throw new ControlPlaneStartError();
      const delayMs = Math.round(backoff.next(clock.now() - startedAt));
      log.error(
        { exit: exit.signal ?? exit.code, restartInMs: delayMs },
        'the control plane ended unexpectedly; Envoy goes on serving without it, restarting it',
      );
      await clock.sleep(delayMs, signal);
    }
  }

  /** Reads its configuration again. */
  reload(): void {
    this.#child?.kill('SIGHUP');
  }

  /** Remembered, and told again to a restarted control plane. */
  tellEnvoy(envoy: EnvoyNews): void {
    this.#envoy = envoy;
    this.#send(envoy);
  }

  /** Envoy ends in so many ms at the latest. Remembered likewise. */
  tellDrain(endsInMs: number): void {
    this.#envoyEndsAt = this.#options.clock.now() + endsInMs;
    this.#send({ type: 'draining', endsInMs });
  }

  kill(): void {
    this.#isStopping = true;
    this.#child?.kill('SIGKILL');
  }

  #send(message: FromSupervisor): void {
    if (this.#child?.connected) this.#child.send(message, () => undefined);
  }

  #sendRemembered(): void {
    if (this.#envoy !== undefined) this.#send(this.#envoy);
    if (this.#envoyEndsAt !== undefined)
      this.#send({ type: 'draining', endsInMs: Math.max(0, this.#envoyEndsAt - this.#options.clock.now()) });
  }

  #runOnce(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    const { script, args, stateDir, onMessage } = this.#options;
    // A process group of its own: Ctrl-C in a terminal reaches the supervisor alone, which ends things in order.
    const child = spawn(process.execPath, [...nodeFlags, script, ...args], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      detached: true,
      // A restart reads what the last start has compiled: it is back in about two thirds of the time.
      env: { NODE_COMPILE_CACHE: join(stateDir, 'compile-cache'), ...process.env },
    });
    this.#child = child;
    const pidFile = join(stateDir, 'control-plane.pid');
    if (child.pid !== undefined) writeFileSync(pidFile, `${child.pid}\n`);
    child.on('message', (message) => {
      // Only our own child writes to this channel.
      const known = message as FromControlPlane;
      if (known.type === 'listening') {
        this.#hasListened = true;
        this.#sendRemembered();
      }
      onMessage(known);
    });
    return new Promise((resolve) => {
      child.once('error', (error) => {
        this.#options.log.error({ err: error }, 'the control plane could not be started');
        resolve({ code: 1, signal: null });
      });
      child.once('exit', (code, signal) => {
        rmSync(pidFile, { force: true });
        resolve({ code, signal });
      });
    });
  }

  async #stop(): Promise<void> {
    this.#isStopping = true;
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    const { clock, stopTimeoutMs } = this.#options;
    const cancel = clock.after(stopTimeoutMs, () => child.kill('SIGKILL'));
    child.once('exit', cancel);
  }
}
