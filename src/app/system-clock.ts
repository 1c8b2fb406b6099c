import type { Clock } from './ports.ts';

/** Node's timers hold at most this many milliseconds; longer ones would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The machine's own time. */
export class SystemClock implements Clock {
  now(): number {
    return performance.now();
  }

  date(): Date {
    return new Date();
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, delay(ms));
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  after(ms: number, fn: () => void): () => void {
    const timer = setTimeout(fn, delay(ms));
    timer.unref();
    return () => clearTimeout(timer);
  }
}

function delay(ms: number): number {
  return Number.isNaN(ms) ? 0 : Math.min(MAX_TIMER_MS, Math.max(0, ms));
}

export const systemClock: Clock = new SystemClock();
