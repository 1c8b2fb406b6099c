/** Lets at most `limit` holders in at once, in order of arrival. */
export class FifoSemaphore {
  readonly #limit: number;
  readonly #waiters = new Set<() => void>();
  #taken = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get taken(): number {
    return this.#taken;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** Resolves to the function that gives the place back (idempotent); rejects with the signal's reason. */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#taken < this.#limit) this.#taken++;
    else await this.#turn(signal);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#giveBack();
    };
  }

  /** The place of whoever leaves is handed over, never free in between: nobody can overtake. */
  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const admit = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        this.#waiters.delete(admit);
        reject(signal.reason);
      };
      this.#waiters.add(admit);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  #giveBack(): void {
    const [next] = this.#waiters;
    if (next === undefined) {
      this.#taken--;
      return;
    }
    this.#waiters.delete(next);
    next();
  }
}
