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

async function drain({ admin, clock, drainMs, onEvent }: StopOptions, signal: AbortSignal): Promise<void> {
  const deadline = clock.now() + drainMs;
  onEvent({ kind: 'draining', activeRequests: await admin.activeRequests() });
  await admin.drain();
  while (!signal.aborted && clock.now() < deadline) {
    const active = await admin.activeRequests();
    // Where Envoy does not say, there is nothing to wait for.
    if (active === undefined || active === 0) return;
    await clock.sleep(POLL_MS, signal);
  }
}
