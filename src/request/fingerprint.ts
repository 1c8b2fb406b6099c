import type { StringDigest } from './string-digest.ts';
import { finished, TextHash } from './text-hash.ts';

/** Hashes a document: byte by byte, but by their digests those strings that may have been cut. */
export class Fingerprint {
  readonly #hash = new TextHash();
  /** What stands before it is hashed. */
  #from = 0;

  /** A string, key or value, that is not short. */
  string(bytes: Uint8Array, start: number, end: number, digest: StringDigest): void {
    this.#hash.mix(bytes, this.#from, start);
    this.#hash.add(digest.a, digest.b);
    this.#from = end;
  }

  /** No string that is not short begins before `pos`. Whole words only: slices may end anywhere. */
  passed(bytes: Uint8Array, pos: number): void {
    const end = pos - ((pos - this.#from) & 3);
    if (end <= this.#from) return;
    this.#hash.mix(bytes, this.#from, end);
    this.#from = end;
  }

  /** The document ends before `end`; white space after it does not count. */
  ended(bytes: Uint8Array, end: number): void {
    this.#hash.mix(bytes, this.#from, end);
    this.#from = Number.POSITIVE_INFINITY;
  }

  /** 16 hexadecimal digits. */
  text(): string {
    const high = finished(this.#hash.a);
    const low = finished(this.#hash.b ^ high);
    return hex(high) + hex(low);
  }
}

function hex(word: number): string {
  return String.fromCharCode(
    digit(word >>> 28),
    digit(word >>> 24),
    digit(word >>> 20),
    digit(word >>> 16),
    digit(word >>> 12),
    digit(word >>> 8),
    digit(word >>> 4),
    digit(word),
  );
}

function digit(word: number): number {
  const value = word & 15;
  return value < 10 ? 0x30 + value : 0x57 + value;
}
