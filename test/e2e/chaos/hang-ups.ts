import { type Answer, post } from '../../support/http-client.ts';
import { pause } from '../../support/wait-for.ts';

/** Clients that never wait for the end: some leave before an answer begins, some in the middle of it. */
export class HangUps {
  readonly #stop = new AbortController();
  readonly #ended: Promise<unknown>;
  readonly #pending = new Set<Promise<Answer | undefined>>();
  #count = 0;

  constructor(url: string, body: unknown, perSecond: number, random: () => number) {
    this.#ended = this.#run(url, body, perSecond, random);
  }

  /** Resolves to how many hung up. */
  async stop(): Promise<number> {
    this.#stop.abort();
    await this.#ended;
    await Promise.all(this.#pending);
    return this.#count;
  }

  async #run(url: string, body: unknown, perSecond: number, random: () => number): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const options =
        random() < 0.5
          ? { signal: AbortSignal.timeout(1 + Math.floor(random() * 80)) }
          : { hangUpAfterBytes: 1 };
      const one = post(url, body, options).catch(() => undefined);
      this.#count += 1;
      this.#pending.add(one);
      void one.then(() => this.#pending.delete(one));
      await pause(1_000 / perSecond);
    }
  }
}
