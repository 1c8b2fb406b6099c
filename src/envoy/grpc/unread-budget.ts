/** One who has been sent what he has not read. */
export interface Debtor {
  /** Ends it, with what it has not read. */
  cut(): void;
}

/**
 * What peers have been sent and do not read lies in our memory. All of it together is bounded: past the bound, whoever has the most
 * unread is cut. A peer that reads is never in here for long.
 */
export class UnreadBudget {
  readonly #maxBytes: number;
  readonly #unread = new Map<Debtor, number>();
  #total = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get total(): number {
    return this.#total;
  }

  /** So much lies for `debtor` now; 0 frees it. */
  set(debtor: Debtor, bytes: number): void {
    this.#total += bytes - (this.#unread.get(debtor) ?? 0);
    if (bytes === 0) this.#unread.delete(debtor);
    else this.#unread.set(debtor, bytes);
    while (this.#total > this.#maxBytes) {
      const largest = this.#largest();
      if (largest === undefined) return;
      this.set(largest, 0);
      largest.cut();
    }
  }

  #largest(): Debtor | undefined {
    let [found, most]: [Debtor | undefined, number] = [undefined, 0];
    for (const [debtor, bytes] of this.#unread) if (bytes > most) [found, most] = [debtor, bytes];
    return found;
  }
}
