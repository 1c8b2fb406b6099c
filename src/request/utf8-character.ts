/**
 * The position after the character of two to four bytes at `pos`; -1 where it is not UTF-8, or U+FFFD, which is what
 * decoders put in the place of such bytes.
 */
export function characterEnd(bytes: Uint8Array, pos: number, end: number): number {
  const lead = bytes[pos] ?? 0;
  const second = bytes[pos + 1] ?? 0;
  const size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (lead < 0xc2 || lead > 0xf4 || pos + size > end) return -1;
  // The second byte shuts out longer forms than needed, surrogates, and what lies beyond U+10FFFF.
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return -1;
  for (let i = pos + 2; i < pos + size; i++) {
    if (((bytes[i] ?? 0) & 0xc0) !== 0x80) return -1;
  }
  return lead === 0xef && second === 0xbf && bytes[pos + 2] === 0xbd ? -1 : pos + size;
}
