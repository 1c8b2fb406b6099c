/** The last `capacity` of what was added; each is found by its id. */
export class Recent<Item extends { readonly id: string }> {
  readonly #ring: (Item | undefined)[];
  readonly #byId = new Map<string, Item>();
  #next = 0;

  constructor(capacity: number) {
    this.#ring = new Array(capacity);
  }

  add(item: Item): void {
    const evicted = this.#ring[this.#next];
    if (evicted !== undefined) this.#byId.delete(evicted.id);
    this.#ring[this.#next] = item;
    this.#byId.set(item.id, item);
    this.#next = (this.#next + 1) % this.#ring.length;
  }

  find(id: string): Item | undefined {
    return this.#byId.get(id);
  }

  /** At most `limit`, newest first. */
  newest(limit: number): Item[] {
    const { length } = this.#ring;
    const found: Item[] = [];
    for (let back = 1; back <= Math.min(length, limit); back += 1) {
      const item = this.#ring[(this.#next - back + length) % length];
      if (item === undefined) break;
      found.push(item);
    }
    return found;
  }
}
