import { cutLength } from './cut-strings.ts';
import { BONES, HASHED_HEAD_BYTES } from './limits.ts';
import { TextHash } from './text-hash.ts';
import { characterEnd } from './utf8-character.ts';

const HASH = 0x23;
/** No longer strings than this one look cut, whatever becomes of bytes that are not UTF-8. */
const SHORT_BYTES = 24;
const utf8 = new TextEncoder();
const text = new TextDecoder('utf-8', { ignoreBOM: true });

/** Too short to have been cut, or to look so: the bones have the same bytes. */
export function isShort(start: number, end: number): boolean {
  return end - start <= SHORT_BYTES;
}

/**
 * Hashes strings that are not short, so that a string and its bones (see scan-bones.ts) say the same: one that is long,
 * or looks cut, counts by the first characters of its head and its length. It holds what the last `read` found.
 */
export class StringDigest {
  readonly #hash = new TextHash();
  /** Bytes of the string as written, the cut ones included. */
  length = 0;

  get a(): number {
    return this.#hash.a;
  }

  get b(): number {
    return this.#hash.b;
  }

  read(bytes: Uint8Array, start: number, end: number): void {
    const claimed = claimedLength(bytes, start, end);
    const hash = this.#hash;
    hash.restart();
    this.length = claimed === 0 ? end - start : claimed;
    if (claimed === 0) hash.mix(bytes, start, end);
    else {
      const limit = Math.min(end, start + HASHED_HEAD_BYTES);
      const pos = hash.mixAscii(bytes, start, limit);
      hash.mix(bytes, pos, charactersEnd(bytes, pos, limit, end));
    }
    hash.add(this.length | 0, this.length | 0);
  }
}

/** The length of a string that is long or looks cut; 0 for all others, which count whole. */
function claimedLength(bytes: Uint8Array, start: number, end: number): number {
  if (end - start > BONES.keepBytes) return end - start;
  let hash = end - 1;
  while (hash >= start && isDigit(bytes[hash])) hash--;
  if (hash === end - 1 || bytes[hash] !== HASH) return 0;
  // A head of just the right length has it too, or no more than it should, once it was decoded.
  if (hash - start === BONES.headBytes) return cutLength(bytes, start, end);
  for (let pos = start; pos < hash; pos++) {
    // Bones have passed through a decoder: what is not UTF-8 has another length there.
    if ((bytes[pos] ?? 0) >= 0x80) {
      const decoded = utf8.encode(text.decode(bytes.subarray(start, end)));
      return cutLength(decoded, 0, decoded.length);
    }
  }
  return cutLength(bytes, start, end);
}

/** The end of the characters before `limit`; the first that is not UTF-8, or U+FFFD, ends them. */
function charactersEnd(bytes: Uint8Array, start: number, limit: number, end: number): number {
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
