import type { Clock, Random } from '../app/ports.ts';

export interface PollerOptions {
  readonly intervalMs: number;
  /** Share of the interval by which each pause may be longer, so that pollers drift apart. */
  readonly jitter: number;
  /** Pause before the first tick: spreads the start of many pollers. */
  readonly initialDelayMs?: number;
  readonly clock: Pick<Clock, 'sleep'>;
  readonly random: Random;
  readonly onError: (error: unknown) => void;
}

/** Runs `tick` until `signal` aborts. A failing tick is reported and the loop goes on; ticks never overlap. */
export async function runPoller(
  tick: (signal: AbortSignal) => Promise<void>,
  { intervalMs, jitter, initialDelayMs = 0, clock, random, onError }: PollerOptions,
  signal: AbortSignal,
): Promise<void> {
  if (initialDelayMs > 0) await clock.sleep(initialDelayMs, signal);
  while (!signal.aborted) {
    try {
      await tick(signal);
    } catch (error) {
      if (!signal.aborted) onError(error);
    }
    await clock.sleep(intervalMs * (1 + jitter * random()), signal); // resolves early on abort, never rejects
  }
}
