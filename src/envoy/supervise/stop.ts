import type { Clock } from '../../app/ports.ts';
import type { EnvoyAdmin } from './admin-client.ts';
import type { EnvoyChild } from './child.ts';
import type { EnvoyEvent } from './run-envoy.ts';

export interface StopOptions {
  readonly admin: EnvoyAdmin;
  readonly clock: Clock;
  readonly drainMs: number;
  readonly killSignal: AbortSignal;
  readonly onEvent: (event: EnvoyEvent) => void;
}

const POLL_MS = 100;
/** Between being asked to end and being ended. */
const GRACE_MS = 2_000;

/** Lets running requests end, at most for `drainMs`, then ends the process. `killSignal` cuts all of it short. */
export async function stopEnvoy(child: EnvoyChild, options: StopOptions): Promise<void> {
  const { clock, killSignal } = options;
  const gone = new AbortController();
  const exited = child.exited.then(() => gone.abort());
  const enough = AbortSignal.any([killSignal, gone.signal]);
  if (!enough.aborted) await drain(options, enough);
  if (!enough.aborted) {
    child.kill('SIGTERM');
    await clock.sleep(GRACE_MS, enough);
  }
  if (!gone.signal.aborted) child.kill('SIGKILL');
  await exited;
}

export interface DrainOptions extends Pick<StopOptions, 'admin' | 'clock' | 'drainMs' | 'onEvent'> {
  /** Wait so long at least: until whoever sends clients here has heard that it should not. */
  readonly delayMs?: number;
}

/** Lets clients go after their running requests; resolves when there are none, after `delayMs` and `drainMs` at the latest. */
export async function drain(options: DrainOptions, signal: AbortSignal): Promise<void> {
  const { admin, clock, drainMs, delayMs = 0, onEvent } = options;
  onEvent({ kind: 'draining', activeRequests: await admin.activeRequests() });
  await admin.drain();
  if (delayMs > 0) await clock.sleep(delayMs, signal);
  const deadline = clock.now() + drainMs;
  while (!signal.aborted && clock.now() < deadline) {
    const active = await admin.activeRequests();
    // Where Envoy does not say, there is nothing to wait for.
    if (active === undefined || active === 0) return;
    await clock.sleep(POLL_MS, signal);
  }
}
