/** One step of the first lane of a hash (the body of MurmurHash3). */
export function mixA(state: number, word: number): number {
  const scrambled = Math.imul(word, 0xcc9e2d51);
  const mixed = state ^ Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593);
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

/** One step of the second lane. */
export function mixB(state: number, word: number): number {
  return Math.imul(((state << 5) | (state >>> 27)) ^ word, 0x9e3779b1);
}

/** Spreads a lane's last state over all its bits. */
export function finished(state: number): number {
  let bits = state ^ (state >>> 16);
  bits = Math.imul(bits, 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}

/** Hashes bytes in two lanes of 32 bits. It keeps nobody from making two texts with one hash, and is fast. */
export class TextHash {
  a = 0x2545f491;
  b = 0x6a09e667;

  restart(): void {
    this.a = 0x2545f491;
    this.b = 0x6a09e667;
  }

  /** Goes on with further bytes; where they are read in pieces, all but the last are whole words of four. */
  mix(bytes: Uint8Array, start: number, end: number): void {
    let { a, b } = this;
    let pos = start;
    for (const last = end - 4; pos <= last; pos += 4) {
      const word = wordAt(bytes, pos);
      a = mixA(a, word);
      b = mixB(b, word);
    }
    if (pos < end) {
      const word = restAt(bytes, pos, end);
      a = mixA(a, word);
      b = mixB(b, word);
    }
    this.a = a;
    this.b = b;
  }

  /** As `mix`, word by word while there is nothing but ASCII; where it stopped. */
  mixAscii(bytes: Uint8Array, start: number, end: number): number {
    let { a, b } = this;
    let pos = start;
    for (const last = end - 4; pos <= last; pos += 4) {
      const word = wordAt(bytes, pos);
      if ((word & 0x80808080) !== 0) break;
      a = mixA(a, word);
      b = mixB(b, word);
    }
    this.a = a;
    this.b = b;
    return pos;
  }

  add(a: number, b: number): void {
    this.a = mixA(this.a, a);
    this.b = mixB(this.b, b);
  }
}

/** The first lane alone, over bytes and their number. */
export function mixBytes(state: number, bytes: Uint8Array, start: number, end: number): number {
  let mixed = state;
  let pos = start;
  for (const last = end - 4; pos <= last; pos += 4) mixed = mixA(mixed, wordAt(bytes, pos));
  if (pos < end) mixed = mixA(mixed, restAt(bytes, pos, end));
  return mixA(mixed, end - start);
}

/** The casts are sound: callers stay inside the bytes. */
function wordAt(bytes: Uint8Array, pos: number): number {
  return (
    (bytes[pos] as number) |
    ((bytes[pos + 1] as number) << 8) |
    ((bytes[pos + 2] as number) << 16) |
    ((bytes[pos + 3] as number) << 24)
  );
}

/** One to three bytes, and how many. */
function restAt(bytes: Uint8Array, start: number, end: number): number {
  let word = end - start;
  for (let pos = start; pos < end; pos++) word = (word << 8) | (bytes[pos] as number);
  return word;
}
