import type { CutStrings } from './json-lexer.ts';
import { BONES } from './limits.ts';
import { isHexDigit } from './string-escape.ts';

const HASH = 0x23;
const QUOTE = 0x22;
const LOWER_U = 0x75;
/** First byte of U+FFFD in UTF-8. */
export const REPLACEMENT_LEAD = 0xef;
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

/** Follows the cut strings of a document's bones and adds up what they lack. */
export class CutLedger implements CutStrings {
  readonly #countsReplacements: boolean;
  #missingBytes = 0;
  #replacements = 0;

  constructor(countsReplacements: boolean) {
    this.#countsReplacements = countsReplacements;
  }

  /** How much longer the body is than its bones, if every string that looks cut was cut. */
  get missingBytes(): number {
    return this.#missingBytes;
  }

  /** How often U+FFFD stands in the heads of cut strings; their true length is known all the same. */
  get replacements(): number {
    return this.#replacements;
  }

  ended(bytes: Uint8Array, start: number, end: number): void {
    const length = cutLength(bytes, start, end);
    if (length === 0) return;
    this.#missingBytes += length - (end - start);
    if (this.#countsReplacements) this.#replacements += replacementCount(bytes, start, end);
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
    if (bytes[end] !== QUOTE || cutLength(bytes, start, end) === 0) return -1;
    // A cut splits an escape or a character, not both: with bytes replaced nothing tells where it fell.
    return replacementCount(bytes, start, hash) === 0 ? end : -1;
  }
}

/** How often U+FFFD stands in the text: there, one to three bytes of the body may not have been UTF-8. */
export function replacementCount(bytes: Uint8Array, start: number, end: number): number {
  let count = 0;
  for (let pos = start; pos + 2 < end; pos++) {
    if (bytes[pos] === REPLACEMENT_LEAD && bytes[pos + 1] === 0xbf && bytes[pos + 2] === 0xbd) count++;
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
