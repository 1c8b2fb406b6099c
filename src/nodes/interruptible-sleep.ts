import type { Clock } from '../app/ports.ts';

/** A sleep that can be cut short, so that something asked for need not wait for the next tick. */
export class InterruptibleSleep implements Pick<Clock, 'sleep'> {
  readonly #clock: Clock;
  #nap: AbortController | undefined;
  #isPending = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the sleep that goes on, or else the next one before it begins. */
  wake(): void {
    if (this.#nap === undefined) this.#isPending = true;
    else this.#nap.abort();
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#isPending || signal.aborted) {
      this.#isPending = false;
      return;
    }
    const nap = new AbortController();
    const end = (): void => nap.abort();
    signal.addEventListener('abort', end, { once: true });
    this.#nap = nap;
    await this.#clock.sleep(ms, nap.signal);
    this.#nap = undefined;
    signal.removeEventListener('abort', end);
  }
}
