import type { Counter } from 'prom-client';

/** The labelled children of a counter, resolved once each: counting again costs a map lookup. */
export class CounterChildren<Label extends string> {
  readonly #counter: Counter<Label>;
  readonly #children = new Map<string, Counter.Internal>();

  constructor(counter: Counter<Label>) {
    this.#counter = counter;
  }

  /** Amounts that are no positive number are ignored: outside figures reach this. */
  add(amount: number, ...labels: string[]): void {
    if (!(amount > 0) || amount === Infinity) return;
    const key = labels.length === 1 ? (labels[0] ?? '') : labels.join('\n');
    let child = this.#children.get(key);
    if (child === undefined) {
      child = this.#counter.labels(...labels);
      this.#children.set(key, child);
    }
    child.inc(amount);
  }
}
