import { MEMBER_NAMES } from './prompt-members.ts';

/** Members of a request that decide where it goes, and how they are written. */
export const FIELD_NAMES = ['model', 'name', 'stream', 'options', 'keep_alive'] as const;
export type FieldName = (typeof FIELD_NAMES)[number];

/** All members that are read. */
export const TOP_NAMES = [...MEMBER_NAMES, ...FIELD_NAMES] as const;

const CODES = TOP_NAMES.map((name) => Array.from(name, (character) => character.charCodeAt(0)));
const LONGEST = Math.max(...TOP_NAMES.map((name) => name.length));

/** Nothing that folds to a letter of ours. */
const OTHER = 0;
/** Reused by every call; nothing is awaited while it is in use. */
const folded = new Uint8Array(LONGEST);

/**
 * Index of the member that a key names for Go's encoding/json, -1 for none: it takes any spelling that is equal under
 * Unicode's simple case folding, where U+017F is an s and U+212A a k. The range is the key as written, valid JSON.
 */
export function foldedName(bytes: Uint8Array, start: number, end: number): number {
  if (end - start > LONGEST * 6) return -1; // even with every letter as \uXXXX
  let length = 0;
  let pos = start;
  while (pos < end) {
    if (length === LONGEST) return -1;
    const size = characterSize(bytes, pos);
    const code = characterCode(bytes, pos, size);
    const lower = foldToAscii(code);
    if (lower === OTHER) return -1;
    folded[length++] = lower;
    pos += size;
  }
  for (const [index, codes] of CODES.entries()) {
    if (codes.length === length && codes.every((code, i) => folded[i] === code)) return index;
  }
  return -1;
}

function characterSize(bytes: Uint8Array, pos: number): number {
  const byte = bytes[pos] ?? 0;
  if (byte === 0x5c) return bytes[pos + 1] === 0x75 ? 6 : 2;
  if (byte === 0xc5) return 2;
  return byte === 0xe2 ? 3 : 1;
}

/** Code of a character; OTHER for what is neither ASCII nor one of the two letters that fold to ASCII. */
function characterCode(bytes: Uint8Array, pos: number, size: number): number {
  const byte = bytes[pos] ?? 0;
  if (byte === 0x5c) return size === 6 ? hexCode(bytes, pos + 2) : OTHER;
  if (byte < 0x80) return byte;
  if (byte === 0xc5 && bytes[pos + 1] === 0xbf) return 0x17f;
  return byte === 0xe2 && bytes[pos + 1] === 0x84 && bytes[pos + 2] === 0xaa ? 0x212a : OTHER;
}

function hexCode(bytes: Uint8Array, pos: number): number {
  let code = 0;
  for (let i = pos; i < pos + 4; i++) {
    const byte = bytes[i] ?? 0;
    code = code * 16 + (byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x57);
  }
  return code;
}

function foldToAscii(code: number): number {
  if (code === 0x17f) return 0x73;
  if (code === 0x212a) return 0x6b;
  if (code >= 0x41 && code <= 0x5a) return code + 0x20;
  return code < 0x80 ? code : OTHER;
}
