import type { Log } from '../../app/log.ts';
import type { Clock } from '../../app/ports.ts';
import type { TlsPair, TlsSource } from './tls-source.ts';

/** How soon a renewed certificate is used. */
const LOOK_MS = 10_000;

export interface TlsRenewalOptions {
  readonly source: TlsSource;
  readonly clock: Clock;
  readonly log: Log;
  /** Handshakes from now on; streams that run go on. */
  readonly use: (pair: TlsPair) => void;
}

/** Looks for another certificate now and then, until `signal` aborts. One that is no good changes nothing and is said once. */
export async function renewTls(
  first: TlsPair,
  { source, clock, log, use }: TlsRenewalOptions,
  signal: AbortSignal,
): Promise<void> {
  let current = first;
  let said: string | undefined;
  while (!signal.aborted) {
    await clock.sleep(LOOK_MS, signal);
    if (signal.aborted) return;
    try {
      const pair = await source.pair();
      said = undefined;
      if (pair.cert === current.cert && pair.key === current.key) continue;
      use(pair);
      current = pair;
      log.info({}, 'gRPC uses the renewed certificate');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason === said) continue;
      said = reason;
      log.warn({ reason }, `the certificate for gRPC was not renewed, the old one stays: ${reason}`);
    }
  }
}
