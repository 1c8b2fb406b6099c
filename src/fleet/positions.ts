/** Places in a list of nodes, each once, in no order; never changed in place. Copying one costs next to nothing. */
export type Positions = Uint32Array;

/** So few that leave are looked for one by one. */
const FEW = 16;

/** Gathers what enters and leaves many lists, and makes each changed list anew once. */
export class PositionChanges<Key> {
  readonly #entered = new Map<Key, number[]>();
  readonly #left = new Map<Key, number[]>();

  /** What is in `after` but not in `before` enters, what is only in `before` leaves. Once for each position. */
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
    push(this.#entered, key, at);
  }

  leave(key: Key, at: number): void {
    push(this.#left, key, at);
  }

  /** The lists after all changes; those that nothing entered or left are the same objects, empty ones are gone. */
  applyTo(lists: ReadonlyMap<Key, Positions>): ReadonlyMap<Key, Positions> {
    if (this.#entered.size === 0 && this.#left.size === 0) return lists;
    const next = new Map(lists);
    for (const [key, left] of this.#left) {
      const list = without(next.get(key) ?? new Uint32Array(), left);
      if (list.length > 0 || this.#entered.has(key)) next.set(key, list);
      else next.delete(key);
    }
    for (const [key, entered] of this.#entered) next.set(key, joined(next.get(key), entered));
    return next;
  }
}

function push<Key>(lists: Map<Key, number[]>, key: Key, at: number): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [at]);
  else list.push(at);
}

function joined(list: Positions | undefined, entered: readonly number[]): Positions {
  const before = list?.length ?? 0;
  const both = new Uint32Array(before + entered.length);
  if (list !== undefined) both.set(list);
  both.set(entered, before);
  return both;
}

function without(list: Positions, left: readonly number[]): Positions {
  if (left.length > FEW) {
    const gone = new Set(left);
    return list.filter((at) => !gone.has(at));
  }
  const rest = list.slice();
  let { length } = rest;
  for (const at of left) {
    const place = rest.indexOf(at);
    if (place < 0 || place >= length) continue;
    length -= 1;
    rest[place] = rest[length] ?? 0;
    // The former last place must not be found again.
    rest[length] = 0xffffffff;
  }
  return rest.slice(0, length);
}
