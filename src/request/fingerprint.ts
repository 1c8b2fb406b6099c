import { finished, mixA, mixB, StringDigest } from './string-digest.ts';

/** Hashes a document: what stands between its strings byte by byte, the strings by their digests. */
export class Fingerprint {
  readonly #state = new StringDigest();
  /** What stands before it is hashed. */
  #from = 0;

  /** A string, key or value, whose digest was taken. */
  string(bytes: Uint8Array, start: number, end: number, digest: StringDigest): void {
    const state = this.#state;
    state.mix(bytes, this.#from, start - 1);
    state.a = mixA(state.a, digest.a);
    state.b = mixB(state.b, digest.b);
    this.#from = end + 1;
  }

  /** No string begins before `pos`. Whole words only: the answer must not depend on where slices end. */
  passed(bytes: Uint8Array, pos: number): void {
    const end = pos - ((pos - this.#from) & 3);
    if (end <= this.#from) return;
    this.#state.mix(bytes, this.#from, end);
    this.#from = end;
  }

  /** The document ends before `end`; white space after it does not count. */
  ended(bytes: Uint8Array, end: number): void {
    this.#state.mix(bytes, this.#from, end);
    this.#from = Number.POSITIVE_INFINITY;
  }

  /** 16 hexadecimal digits. */
  text(): string {
    return hex(finished(this.#state.a)) + hex(finished(this.#state.b ^ this.#state.a));
  }
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}
