import type { CutStrings } from './json-lexer.ts';
import { BONES } from './limits.ts';
import { isHexDigit } from './string-escape.ts';

const HASH = 0x23;
const QUOTE = 0x22;
const LOWER_U = 0x75;
/** Digits of a length; a body has far fewer than 10^10 bytes. */
const MAX_DIGITS = 10;

/**
 * The length of the string that was cut to `<first 64 bytes>#<length>`; 0 where the text is not such a rest. A client
 * may write the same by hand, so this says "perhaps cut"; but no cut string is missed.
 */
export function cutLength(bytes: Uint8Array, start: number, end: number): number {
  let pos = end - 1;
  let length = 0;
  for (let scale = 1; pos > start && isDigit(bytes[pos]); pos--, scale *= 10) {
    if (end - pos > MAX_DIGITS) return 0;
    length += ((bytes[pos] ?? 0) - 0x30) * scale;
  }
  if (bytes[pos] !== HASH || bytes[pos + 1] === 0x30 || length <= BONES.keepBytes) return 0;
  return isHead(bytes, start, pos) ? length : 0;
}

/** Follows the cut strings of a document's bones and adds up how many bytes they lack. */
export class CutLedger implements CutStrings {
  #missingBytes = 0;

  /** How much longer the body is than its bones, if every string that looks cut was cut. */
  get missingBytes(): number {
    return this.#missingBytes;
  }

  ended(bytes: Uint8Array, start: number, end: number): void {
    const length = cutLength(bytes, start, end);
    if (length === 0) return;
    const suffixBytes = 1 + String(length).length;
    this.#missingBytes += length - BONES.headBytes - suffixBytes;
  }

  splitEscapeEnd(bytes: Uint8Array, start: number, backslash: number): number {
    let hash = backslash + 1;
    if (bytes[hash] === LOWER_U) {
      hash++;
      while (hash < backslash + 5 && isHexDigit(bytes[hash])) hash++;
    }
    if (bytes[hash] !== HASH) return -1;
    let end = hash + 1;
    while (isDigit(bytes[end])) end++;
    return bytes[end] === QUOTE && cutLength(bytes, start, end) > 0 ? end : -1;
  }
}

/** How many times U+FFFD stands in the text: there, one to three bytes of the body were not UTF-8. */
export function replacementCount(bytes: Uint8Array, start: number, end: number): number {
  let count = 0;
  for (let pos = start; pos + 2 < end; pos++) {
    if (bytes[pos] === 0xef && bytes[pos + 1] === 0xbf && bytes[pos + 2] === 0xbd) count++;
  }
  return count;
}

/** 64 bytes; more where bytes that were not UTF-8, perhaps because of the cut, were replaced on the way. */
function isHead(bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (length === BONES.headBytes) return true;
  if (length < BONES.headBytes || length > BONES.headBytes * 3) return false;
  return length - 2 * replacementCount(bytes, start, end) <= BONES.headBytes;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}
