import { swapHuffman } from './huffman.ts';

/** `:authority` in HPACK's static table. */
const AUTHORITY = 1;
/**
 * What clusters' names have and no authority may: each with one that it may have, coded in as many bits, so that nothing
 * moves.
 */
const SWAPS: ReadonlyMap<string, string> = new Map([
  ['|', '+'],
  ['/', '-'],
]);

/**
 * Makes the authority of a header block one that Node takes, in place. What is no valid block is left as it is: that is
 * told by who decodes it.
 */
export function mendAuthority(block: Uint8Array): void {
  const cursor = { at: 0 };
  while (cursor.at < block.length) {
    const byte = block[cursor.at] ?? 0;
    if (byte & 0x80) {
      if (integer(block, cursor, 7) === undefined) return;
    } else if ((byte & 0xe0) === 0x20) {
      if (integer(block, cursor, 5) === undefined) return;
    } else {
      const name = integer(block, cursor, byte & 0x40 ? 6 : 4);
      if (name === undefined || (name === 0 && text(block, cursor) === undefined)) return;
      const value = text(block, cursor);
      if (value === undefined) return;
      if (name === AUTHORITY) mend(value);
    }
  }
}

interface Text {
  readonly bytes: Uint8Array;
  readonly isHuffman: boolean;
}

function mend({ bytes, isHuffman }: Text): void {
  if (isHuffman) {
    swapHuffman(bytes, SWAPS);
    return;
  }
  for (const [i, byte] of bytes.entries()) {
    const other = SWAPS.get(String.fromCharCode(byte));
    if (other !== undefined) bytes[i] = other.charCodeAt(0);
  }
}

/** An integer with a prefix of so many bits; undefined where it does not end, or is larger than any block. */
function integer(block: Uint8Array, cursor: { at: number }, prefix: number): number | undefined {
  const most = (1 << prefix) - 1;
  const first = block[cursor.at++];
  if (first === undefined) return undefined;
  if ((first & most) < most) return first & most;
  let value = most;
  for (let shift = 0; shift <= 14; shift += 7) {
    const byte = block[cursor.at++];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) << shift;
    if ((byte & 0x80) === 0) return value;
  }
  return undefined;
}

function text(block: Uint8Array, cursor: { at: number }): Text | undefined {
  const isHuffman = ((block[cursor.at] ?? 0) & 0x80) !== 0;
  const length = integer(block, cursor, 7);
  if (length === undefined || cursor.at + length > block.length) return undefined;
  const bytes = block.subarray(cursor.at, cursor.at + length);
  cursor.at += length;
  return { bytes, isHuffman };
}
