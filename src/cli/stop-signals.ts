import type { Clock } from '../app/ports.ts';
import { systemClock } from '../app/system-clock.ts';

/** Ctrl-C reaches a process twice where npm and the terminal both deliver it: this soon after, it is the same one. */
const SAME_SIGNAL_MS = 300;

/** How the process is told to stop: gently at the first signal, at once at the second. */
export interface StopSignals {
  /** Resolves at the first SIGINT or SIGTERM. */
  readonly requested: Promise<undefined>;
  /** Aborts at the first. */
  readonly gentle: AbortSignal;
  /** Aborts at the second. */
  readonly now: AbortSignal;
  /** Asks for the stop from inside. */
  request(): void;
  /** SIGHUP: read the configuration again. */
  onHangup(listener: () => void): void;
}

/** Who tells of signals: the process itself. */
export interface SignalSource {
  on(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP', listener: () => void): unknown;
}

export function listenForSignals(
  onSecond: () => void,
  source: SignalSource = process,
  clock: Pick<Clock, 'now'> = systemClock,
): StopSignals {
  const gentle = new AbortController();
  const now = new AbortController();
  const hangups: (() => void)[] = [];
  let firstAt = 0;
  const receive = () => {
    if (!gentle.signal.aborted) {
      firstAt = clock.now();
      gentle.abort();
      return;
    }
    if (clock.now() - firstAt < SAME_SIGNAL_MS || now.signal.aborted) return;
    now.abort();
    onSecond();
  };
  source.on('SIGINT', receive);
  source.on('SIGTERM', receive);
  source.on('SIGHUP', () => {
    for (const listener of hangups) listener();
  });
  const { promise, resolve } = Promise.withResolvers<undefined>();
  gentle.signal.addEventListener('abort', () => resolve(undefined), { once: true });
  return {
    requested: promise,
    gentle: gentle.signal,
    now: now.signal,
    request: () => gentle.abort(),
    onHangup: (listener) => hangups.push(listener),
  };
}
