/** Places in a list of nodes, ascending; never changed in place. */
export type Positions = readonly number[];

const NONE: ReadonlySet<number> = new Set();

/** Gathers what enters and leaves many lists, and makes each changed list anew once. */
export class PositionChanges<Key> {
  readonly #entered = new Map<Key, number[]>();
  readonly #left = new Map<Key, Set<number>>();

  /** Call with ascending positions: what is in `after` but not in `before` enters, what is only in `before` leaves. */
  note(
    at: number,
    before: ReadonlyMap<Key, unknown> | undefined,
    after: ReadonlyMap<Key, unknown> | undefined,
  ): void {
    if (before === after) return;
    if (after !== undefined)
      for (const key of after.keys()) if (before === undefined || !before.has(key)) this.enter(key, at);
    if (before !== undefined)
      for (const key of before.keys()) if (after === undefined || !after.has(key)) this.leave(key, at);
  }

  enter(key: Key, at: number): void {
    const list = this.#entered.get(key);
    if (list === undefined) this.#entered.set(key, [at]);
    else list.push(at);
  }

  leave(key: Key, at: number): void {
    const set = this.#left.get(key);
    if (set === undefined) this.#left.set(key, new Set([at]));
    else set.add(at);
  }

  /** The lists after all changes; those that nothing entered or left are the same objects, empty ones are gone. */
  applyTo(lists: ReadonlyMap<Key, Positions>): ReadonlyMap<Key, Positions> {
    if (this.#entered.size === 0 && this.#left.size === 0) return lists;
    const next = new Map(lists);
    for (const key of new Set([...this.#entered.keys(), ...this.#left.keys()])) {
      const list = merge(lists.get(key) ?? [], this.#left.get(key) ?? NONE, this.#entered.get(key) ?? []);
      if (list.length > 0) next.set(key, list);
      else next.delete(key);
    }
    return next;
  }
}

function merge(list: Positions, left: ReadonlySet<number>, entered: Positions): Positions {
  const merged: number[] = [];
  let next = 0;
  for (const at of list) {
    if (left.has(at)) continue;
    for (let other = entered[next]; other !== undefined && other < at; other = entered[next]) {
      merged.push(other);
      next += 1;
    }
    merged.push(at);
  }
  for (; next < entered.length; next += 1) merged.push(entered[next] ?? 0);
  return merged;
}
