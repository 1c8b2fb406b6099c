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
  const hash = hashBeforeDigits(bytes, start, end);
  return hash >= 0 && isHead(bytes, start, hash) ? claimedLength(bytes, hash, end) : 0;
}

/** Where the `#` of a `#<length>` at the end of a string stands; -1: there is none. */
export function hashBeforeDigits(bytes: Uint8Array, start: number, end: number): number {
  const first = Math.max(start, end - 1 - MAX_DIGITS);
  let pos = end - 1;
  while (pos > first && isDigit(bytes[pos])) pos--;
  return pos < end - 1 && pos >= start && bytes[pos] === HASH ? pos : -1;
}

/** The length after `#`; 0 for what no string that was cut has. */
export function claimedLength(bytes: Uint8Array, hash: number, end: number): number {
  if (bytes[hash + 1] === 0x30) return 0;
  let length = 0;
  for (let pos = hash + 1; pos < end; pos++) length = length * 10 + (bytes[pos] ?? 0) - 0x30;
  return length > BONES.keepBytes ? length : 0;
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
export function isHeadLength(length: number, replacements: number): boolean {
  if (length < BONES.headBytes || length > BONES.headBytes * 3) return false;
  return length === BONES.headBytes || length - 2 * replacements <= BONES.headBytes;
}

function isHead(bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (length < BONES.headBytes || length > BONES.headBytes * 3) return false;
  return length === BONES.headBytes || isHeadLength(length, replacementCount(bytes, start, end));
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}
