/**
 * The position after the character of two to four bytes at `pos`; -1 where it is not UTF-8, or U+FFFD, which is what
 * decoders put in the place of such bytes.
 */
export function characterEnd(bytes: Uint8Array, pos: number, end: number): number {
  const lead = bytes[pos] ?? 0;
  const second = bytes[pos + 1] ?? 0;
  const size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (lead < 0xc2 || lead > 0xf4 || pos + size > end) return -1;
  if (!isSecond(lead, second)) return -1;
  for (let i = pos + 2; i < pos + size; i++) {
    if (!isContinuation(bytes[i] ?? 0)) return -1;
  }
  return lead === 0xef && second === 0xbf && bytes[pos + 2] === 0xbd ? -1 : pos + size;
}

/** How many bytes at `pos` a decoder replaces by one U+FFFD; only where `characterEnd` found no character. */
export function replacedBytes(bytes: Uint8Array, pos: number, end: number): number {
  const lead = bytes[pos] ?? 0;
  if (lead < 0xc2 || lead > 0xf4 || pos + 1 >= end || !isSecond(lead, bytes[pos + 1] ?? 0)) return 1;
  return pos + 2 < end && lead >= 0xe0 && isContinuation(bytes[pos + 2] ?? 0) ? 3 : 2;
}

/** The second byte shuts out longer forms than needed, surrogates, and what lies beyond U+10FFFF. */
function isSecond(lead: number, second: number): boolean {
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  return second >= low && second <= high;
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}
