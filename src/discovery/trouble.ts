import type { Log } from '../app/log.ts';

/** Says once that a source cannot tell, again when the reason changes, and once when that is over. */
export class Trouble {
  readonly #source: string;
  readonly #log: Log;
  #reason: string | undefined;

  constructor(source: string, log: Log) {
    this.#source = source;
    this.#log = log;
  }

  get isPresent(): boolean {
    return this.#reason !== undefined;
  }

  met(reason: string): void {
    if (reason === this.#reason) return;
    this.#reason = reason;
    this.#log.warn(
      { source: this.#source },
      `discovery by ${this.#source}: ${reason}; the nodes it named stay`,
    );
  }

  over(): void {
    if (this.#reason === undefined) return;
    this.#reason = undefined;
    this.#log.info({ source: this.#source }, `discovery by ${this.#source} works again`);
  }
}
