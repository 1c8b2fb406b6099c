import { stringValue } from './string-value.ts';

const BACKSLASH = 0x5c;

/** What `find` answers for a key that is not in the table. */
export const NOT_FOUND = -1;

/** Finds keys among a few ASCII names, quickly and without decoding them. */
export class NameTable {
  readonly #names: readonly string[];
  readonly #byLength: readonly (readonly { readonly index: number; readonly codes: readonly number[] }[])[];
  readonly #longest: number;

  constructor(names: readonly string[]) {
    this.#names = names;
    this.#longest = Math.max(...names.map((name) => name.length));
    this.#byLength = Array.from({ length: this.#longest + 1 }, (_, length) =>
      names
        .map((name, index) => ({ index, codes: Array.from(name, (letter) => letter.charCodeAt(0)) }))
        .filter(({ codes }) => codes.length === length),
    );
  }

  /** Index of the name that is written so, without escapes. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    if (length > this.#longest) return NOT_FOUND;
    const names = this.#byLength[length];
    if (names === undefined) return NOT_FOUND;
    for (const { index, codes } of names) {
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
