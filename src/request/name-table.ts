import { stringValue } from './string-value.ts';

const BACKSLASH = 0x5c;

/** What `find` answers for a key that is not in the table. */
export const NOT_FOUND = -1;

/** Finds keys among a few ASCII names, quickly and without decoding them. */
export class NameTable {
  readonly #names: readonly string[];
  readonly #longest: number;
  /** By length: the names' indices and their bytes. */
  readonly #indices: readonly (readonly number[])[];
  readonly #codes: readonly Uint8Array[];

  constructor(names: readonly string[]) {
    this.#names = names;
    this.#longest = Math.max(...names.map((name) => name.length));
    this.#indices = Array.from({ length: this.#longest + 1 }, (_, length) =>
      [...names.keys()].filter((index) => names[index]?.length === length),
    );
    this.#codes = names.map((name) => Uint8Array.from(name, (letter) => letter.charCodeAt(0)));
  }

  /** Index of the name that is written so, without escapes. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    if (length > this.#longest) return NOT_FOUND;
    const indices = this.#indices[length] as readonly number[]; // up to the longest there is one for each length
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i] as number; // i < length
      const codes = this.#codes[index] as Uint8Array; // an index of a name
      let at = 0;
      while (at < length && bytes[start + at] === codes[at]) at++;
      if (at === length) return index;
    }
    return NOT_FOUND;
  }

  /** As `find`; escapes count as what they stand for. */
  findEscaped(bytes: Uint8Array, start: number, end: number): number {
    const found = this.find(bytes, start, end);
    if (found !== NOT_FOUND || end - start > this.#longest * 6) return found;
    for (let pos = start; pos < end; pos++) {
      if (bytes[pos] === BACKSLASH) return this.#names.indexOf(stringValue(bytes, start, end) ?? '');
    }
    return NOT_FOUND;
  }
}
