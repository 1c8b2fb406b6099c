import { claimedLength, hashBeforeDigits, isHeadLength } from './cut-strings.ts';
import { BONES, HASHED_HEAD_BYTES } from './limits.ts';
import { TextHash } from './text-hash.ts';
import { characterEnd, replacedBytes } from './utf8-character.ts';

/** No longer strings than this one look cut, whatever becomes of bytes that are not UTF-8. */
const SHORT_BYTES = 24;

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
    const claimed = writtenLength(bytes, start, end);
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
function writtenLength(bytes: Uint8Array, start: number, end: number): number {
  if (end - start > BONES.keepBytes) return end - start;
  const hash = hashBeforeDigits(bytes, start, end);
  return hash >= 0 && isDecodedHead(bytes, start, hash) ? claimedLength(bytes, hash, end) : 0;
}

/** Whether the head is as long as one of a cut string once it went through a decoder, as all bones do. */
function isDecodedHead(bytes: Uint8Array, start: number, end: number): boolean {
  // Decoding makes this no shorter, and no longer than the replacements account for.
  if (end - start === BONES.headBytes) return true;
  let length = 0;
  let replacements = 0;
  for (let pos = start; pos < end && length <= BONES.headBytes * 3; ) {
    const next = (bytes[pos] ?? 0) < 0x80 ? pos + 1 : characterEnd(bytes, pos, end);
    if (next >= 0) {
      length += next - pos;
      pos = next;
    } else {
      length += 3;
      replacements++;
      pos += replacedBytes(bytes, pos, end);
    }
  }
  return isHeadLength(length, replacements);
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
