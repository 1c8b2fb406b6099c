import { hexCode } from './string-escape.ts';

const BACKSLASH = 0x5c;
const LOWER_U = 0x75;

/** What `find` answers for a key that is not in the table. */
export const NOT_FOUND = -1;

/** Finds keys among a few names of letters, digits and underscores, quickly and without decoding them. */
export class NameTable {
  readonly #longest: number;
  /** By length: the names' indices and their bytes. */
  readonly #indices: readonly (readonly number[])[];
  readonly #codes: readonly Uint8Array[];

  /** Reused by every call; nothing is awaited while it is in use. */
  readonly #decoded: Uint8Array;

  constructor(names: readonly string[]) {
    this.#longest = Math.max(...names.map((name) => name.length));
    this.#decoded = new Uint8Array(this.#longest);
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
    let length = 0;
    for (let pos = start; pos < end; length++) {
      if (length === this.#longest) return NOT_FOUND;
      const isEscaped = bytes[pos] === BACKSLASH;
      if (isEscaped && bytes[pos + 1] !== LOWER_U) return NOT_FOUND; // of what it stands for, no name has any
      const code = isEscaped ? hexCode(bytes, pos + 2) : (bytes[pos] ?? 0);
      if (code >= 0x80) return NOT_FOUND;
      this.#decoded[length] = code;
      pos += isEscaped ? 6 : 1;
    }
    return length === end - start ? NOT_FOUND : this.find(this.#decoded, 0, length);
  }
}
