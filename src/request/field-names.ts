import { NameTable } from './name-table.ts';
import { MEMBER_NAMES } from './prompt-members.ts';
import { hexCode } from './string-escape.ts';

/** Members of a request that decide where it goes, and how they are written. */
export const FIELD_NAMES = ['model', 'name', 'stream', 'options', 'keep_alive'] as const;
export type FieldName = (typeof FIELD_NAMES)[number];

/** All members that are read: MEMBER_NAMES, then FIELD_NAMES. */
const TOP_NAMES = [...MEMBER_NAMES, ...FIELD_NAMES] as const;

export const TOP = new NameTable(TOP_NAMES);
const LONGEST = Math.max(...TOP_NAMES.map((name) => name.length));

/** Nothing that folds to a letter of ours. */
const OTHER = 0;
/** Reused by every call; nothing is awaited while it is in use. */
const folded = new Uint8Array(LONGEST);

/** Added to the index of a name that is not written exactly so. */
export const VARIANT = 64;

/**
 * Index of the member that a key names for Go's encoding/json, -1 for none: it takes any spelling that is equal under
 * Unicode's simple case folding, where U+017F is an s and U+212A a k. The range is the key as written, valid JSON;
 * escapes count as what they stand for.
 */
export function foldedName(bytes: Uint8Array, start: number, end: number): number {
  if (end - start > LONGEST * 6) return -1; // even with every letter as \uXXXX
  let length = 0;
  let variant = 0;
  let pos = start;
  while (pos < end) {
    if (length === LONGEST) return -1;
    const size = characterSize(bytes, pos);
    const code = characterCode(bytes, pos, size);
    const lower = foldToAscii(code);
    if (lower === OTHER) return -1;
    if (lower !== code) variant = VARIANT;
    folded[length++] = lower;
    pos += size;
  }
  const index = TOP.find(folded, 0, length);
  return index < 0 ? index : index + variant;
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

function foldToAscii(code: number): number {
  if (code === 0x17f) return 0x73;
  if (code === 0x212a) return 0x6b;
  if (code >= 0x41 && code <= 0x5a) return code + 0x20;
  return code < 0x80 ? code : OTHER;
}
