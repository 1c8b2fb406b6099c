const ONES = 0x01010101;
const HIGH_BITS = 0x80808080;
const QUOTES = 0x22222222;
const BACKSLASHES = 0x5c5c5c5c;
const SPACES = 0x20202020;

/** The next quote, backslash or control character at or after `from`, or `end`. For short texts. */
export function skipPlainBytes(bytes: Uint8Array, from: number, end: number): number {
  let pos = from;
  while (pos < end) {
    const byte = bytes[pos] as number; // pos < end <= bytes.length
    if (byte === 0x22 || byte === 0x5c || byte < 0x20) return pos;
    pos++;
  }
  return pos;
}

/** A view for `skipPlainWords` over the same bytes. */
export function wordView(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * As `skipPlainBytes`, for long texts: eight bytes at a time. A byte that is zero after the XOR, or below 0x20,
 * borrows into its high bit (https://graphics.stanford.edu/~seander/bithacks.html, haszero and hasless).
 */
export function skipPlainWords(view: DataView, from: number, end: number): number {
  let pos = from;
  while (
    pos + 8 <= end &&
    (special(view.getInt32(pos, true)) | special(view.getInt32(pos + 4, true))) === 0
  ) {
    pos += 8;
  }
  while (pos < end) {
    const byte = view.getUint8(pos);
    if (byte === 0x22 || byte === 0x5c || byte < 0x20) return pos;
    pos++;
  }
  return pos;
}

function special(word: number): number {
  const quotes = word ^ QUOTES;
  const backslashes = word ^ BACKSLASHES;
  return (
    (((word - SPACES) & ~word) | ((quotes - ONES) & ~quotes) | ((backslashes - ONES) & ~backslashes)) &
    HIGH_BITS
  );
}
