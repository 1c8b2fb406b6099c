/** Far more than all models of a fleet have; beyond, sharing begins anew and costs no more than memory. */
const MAX_VALUES = 20_000;

/** Keeps one copy of equal values. They must never change. Bounded: what it forgets lives on where it is used. */
export class SharedValues<Value> {
  readonly #known = new Map<string, Value>();

  /** The first value that came with this key; values with equal keys must be equal. */
  share(key: string, value: Value): Value {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.#known.size >= MAX_VALUES) this.#known.clear();
    this.#known.set(key, value);
    return value;
  }
}
