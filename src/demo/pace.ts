import type { Clock } from '../app/ports.ts';

export interface PaceOptions {
  readonly clock: Clock;
  readonly tokensPerSecond: number;
  readonly count: number;
  /** Sends token number `index`; a returned promise (a slow reader) is waited for. */
  readonly emit: (index: number) => Promise<void> | undefined;
}

/**
 * Emits `count` tokens at an even rate, the first at once. Late timers are caught up with, so the rate holds under
 * load. One timer at a time and no allocation per token: thousands of these run in one process.
 * Resolves early when `signal` aborts.
 */
export function pace(
  { clock, tokensPerSecond, count, emit }: PaceOptions,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    const startedAt = clock.now();
    let next = 0;
    let cancel: (() => void) | undefined;
    const finish = (): void => {
      cancel?.();
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const step = (): void => {
      while (next < count && !signal.aborted) {
        const dueInMs = startedAt + (next * 1000) / tokensPerSecond - clock.now();
        if (dueInMs > 0) {
          cancel = clock.after(Math.ceil(dueInMs), step);
          return;
        }
        const blocked = emit(next++);
        if (blocked !== undefined) {
          void blocked.then(step);
          return;
        }
      }
      finish();
    };
    signal.addEventListener('abort', finish, { once: true });
    step();
  });
}
