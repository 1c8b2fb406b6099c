/** Stands for every value past the cap. */
export const OTHER = '__other__';

/** Keeps a label's values few: the first `cap` distinct ones pass, the rest become one. */
export class BoundedLabels {
  readonly #seen = new Set<string>();
  readonly #cap: number;

  constructor(cap: number) {
    this.#cap = cap;
  }

  of(value: string | undefined): string {
    if (value === undefined) return OTHER;
    if (this.#seen.has(value)) return value;
    if (this.#seen.size >= this.#cap) return OTHER;
    this.#seen.add(value);
    return value;
  }
}
