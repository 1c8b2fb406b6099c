/**
 * Long-lived tasks under one signal. The first that fails stops the others; `done` then rejects with that failure, named.
 * Tasks are started by `add`, never by constructors.
 */
export class RunGroup {
  readonly #abort = new AbortController();
  readonly #tasks: Promise<void>[] = [];
  #failure: Error | undefined;

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  add(name: string, task: (signal: AbortSignal) => Promise<void>): void {
    const running = task(this.signal).catch((error: unknown) => {
      this.#failure ??= new Error(
        `${name} failed: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
      this.#abort.abort();
    });
    this.#tasks.push(running);
  }

  stop(): void {
    this.#abort.abort();
  }

  /** Resolves when every task has ended after `stop`; rejects with the first failure. */
  async done(): Promise<void> {
    let seen = 0;
    while (seen < this.#tasks.length) {
      seen = this.#tasks.length;
      await Promise.all(this.#tasks);
    }
    if (this.#failure !== undefined) throw this.#failure;
  }
}
