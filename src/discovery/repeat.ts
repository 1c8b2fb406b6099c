import type { SourceDeps } from './source.ts';

/** Share of the interval by which looks are spread: many replicas must not all ask at once. */
const JITTER = 0.1;

/** Calls `look` at once and every `intervalMs`, never twice at a time, until `signal` aborts. */
export async function repeat(
  look: () => Promise<void>,
  intervalMs: number,
  { clock, random }: Pick<SourceDeps, 'clock' | 'random'>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await look();
    await clock.sleep(intervalMs * (1 + JITTER * random()), signal);
  }
}
