import { cutLength } from './cut-strings.ts';
import { BONES, HASHED_HEAD_BYTES } from './limits.ts';
import { wordView } from './string-text.ts';
import { characterEnd } from './utf8-character.ts';

const HASH = 0x23;
const START_A = 0x2545f491;
const START_B = 0x6a09e667;
const utf8 = new TextEncoder();
const text = new TextDecoder('utf-8', { ignoreBOM: true });

/** One step of the first lane of a hash (the body of MurmurHash3). */
export function mixA(state: number, word: number): number {
  const scrambled = Math.imul(word, 0xcc9e2d51);
  const mixed = state ^ Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593);
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

/** One step of the second lane. */
export function mixB(state: number, word: number): number {
  return Math.imul(((state << 5) | (state >>> 27)) ^ word, 0x9e3779b1);
}

/** Spreads a lane's last state over all its bits. */
export function finished(state: number): number {
  let bits = state ^ (state >>> 16);
  bits = Math.imul(bits, 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}

/**
 * Hashes strings so that a string and its bones (see scan-bones.ts) say the same: one that is long, or looks cut, counts
 * by the first characters of its head and its length. It holds what the last `read` found.
 */
export class StringDigest {
  a = 0;
  b = 0;
  /** Bytes of the string as written, the cut ones included. */
  length = 0;
  #view: DataView | undefined;

  read(bytes: Uint8Array, start: number, end: number): void {
    const claimed = claimedLength(bytes, start, end);
    this.a = START_A;
    this.b = START_B;
    this.length = claimed === 0 ? end - start : claimed;
    this.mix(bytes, start, claimed === 0 ? end : headEnd(bytes, start, end));
    this.a = mixA(this.a, this.length | 0);
    this.b = mixB(this.b, this.length | 0);
  }

  /** Goes on with further bytes; where they are read in pieces, all but the last are whole words of four. */
  mix(bytes: Uint8Array, start: number, end: number): void {
    let { a, b } = this;
    let pos = start;
    if (end - pos >= 4) {
      this.#view ??= wordView(bytes);
      const view = this.#view;
      for (const last = end - 4; pos <= last; pos += 4) {
        const word = view.getInt32(pos, true);
        a = mixA(a, word);
        b = mixB(b, word);
      }
    }
    if (pos < end) {
      let word = end - pos;
      for (; pos < end; pos++) word = (word << 8) | (bytes[pos] as number); // pos < end <= bytes.length
      a = mixA(a, word);
      b = mixB(b, word);
    }
    this.a = a;
    this.b = b;
  }
}

/** The length of a string that is long or looks cut; 0 for all others, which count whole. */
function claimedLength(bytes: Uint8Array, start: number, end: number): number {
  if (end - start > BONES.keepBytes) return end - start;
  let hash = end - 1;
  while (hash >= start && isDigit(bytes[hash])) hash--;
  if (hash === end - 1 || bytes[hash] !== HASH) return 0;
  for (let pos = start; pos < hash; pos++) {
    // Bones have passed through a decoder: what is not UTF-8 has another length there.
    if ((bytes[pos] ?? 0) >= 0x80) {
      const decoded = utf8.encode(text.decode(bytes.subarray(start, end)));
      return cutLength(decoded, 0, decoded.length);
    }
  }
  return cutLength(bytes, start, end);
}

/** The end of the characters within the first 60 bytes; the first that is not UTF-8, or U+FFFD, ends them. */
function headEnd(bytes: Uint8Array, start: number, end: number): number {
  const limit = Math.min(end, start + HASHED_HEAD_BYTES);
  let pos = start;
  while (pos < limit) {
    if ((bytes[pos] ?? 0) < 0x80) pos++;
    else {
      const next = characterEnd(bytes, pos, end);
      if (next < 0 || next > limit) return pos;
      pos = next;
    }
  }
  return pos;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}
