import type { Clock } from '../app/ports.ts';

export interface Reading<Value> {
  /** Undefined before the first answer. */
  readonly value: Value | undefined;
  /** Since that answer; Infinity before the first. */
  readonly ageMs: number;
  /** The answer to this question is still under way. */
  readonly isWaiting: boolean;
}

/**
 * Asks a slow source and waits only so long: then its last answer must do, and the question goes on in the background.
 * No source is asked twice at once.
 */
export class Latest<Value> {
  readonly name: string;
  readonly #ask: (signal: AbortSignal) => Promise<Value>;
  readonly #clock: Clock;
  readonly #waitMs: number;
  #pending: { readonly answer: Promise<void> } | undefined;
  #last: { readonly value: Value; readonly at: number } | undefined;

  constructor(
    name: string,
    ask: (signal: AbortSignal) => Promise<Value>,
    { clock, waitMs }: { clock: Clock; waitMs: number },
  ) {
    this.name = name;
    this.#ask = ask;
    this.#clock = clock;
    this.#waitMs = waitMs;
  }

  async read(signal: AbortSignal): Promise<Reading<Value>> {
    const pending = this.#pending ?? this.#start(signal);
    const { promise: tooLong, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(this.#waitMs, resolve);
    await Promise.race([pending.answer, tooLong]);
    cancel();
    const last = this.#last;
    return {
      value: last?.value,
      ageMs: last === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() - last.at,
      isWaiting: this.#pending === pending,
    };
  }

  #start(signal: AbortSignal): { answer: Promise<void> } {
    const answer = this.#ask(signal).then(
      (value) => {
        this.#last = { value, at: this.#clock.now() };
        this.#pending = undefined;
      },
      () => {
        // A source that fails says so by its value; what it said before stays, and ages.
        this.#pending = undefined;
      },
    );
    const pending = { answer };
    this.#pending = pending;
    return pending;
  }
}
