/**
 * HPACK's Huffman code (RFC 7541, appendix B) as far as texts use it: the symbols of each length, in the order of their codes.
 * It is canonical, so the codes follow from that.
 */
const SYMBOLS: readonly (readonly [bits: number, symbols: string])[] = [
  [5, '012aceiost'],
  [6, ' %-./3456789=A_bdfghlmnpru'],
  [7, ':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz'],
  [8, '&*,;XZ'],
  [10, '!"()?'],
  [11, "'+|"],
  [12, '#>'],
  [13, '\0$@[]~'],
  [14, '^}'],
  [15, '<`{'],
];

interface Row {
  readonly bits: number;
  /** Code of the first symbol. */
  readonly first: number;
  readonly symbols: string;
}

const ROWS: readonly Row[] = rows();

/**
 * Writes other symbols over some of a coded text, in place. `swaps` must name a symbol of the same length for each; what
 * comes after a symbol that texts do not use is left alone.
 */
export function swapHuffman(bytes: Uint8Array, swaps: ReadonlyMap<string, string>): void {
  const end = bytes.length * 8;
  let at = 0;
  while (at < end) {
    const row = rowAt(bytes, at, end);
    if (row === undefined) return;
    const symbol = row.symbols[read(bytes, at, row.bits) - row.first] ?? '';
    const swapped = row.symbols.indexOf(swaps.get(symbol) ?? symbol);
    if (swapped >= 0) write(bytes, at, row.bits, row.first + swapped);
    at += row.bits;
  }
}

/** The row of the symbol that begins at this bit; undefined at the padding, and where there is none. */
function rowAt(bytes: Uint8Array, at: number, end: number): Row | undefined {
  return ROWS.find(({ bits, first, symbols }) => {
    if (at + bits > end) return false;
    const place = read(bytes, at, bits) - first;
    return place >= 0 && place < symbols.length;
  });
}

function read(bytes: Uint8Array, at: number, bits: number): number {
  let value = 0;
  for (let i = at; i < at + bits; i++) value = (value << 1) | (((bytes[i >> 3] ?? 0) >> (7 - (i & 7))) & 1);
  return value;
}

function write(bytes: Uint8Array, at: number, bits: number, value: number): void {
  for (let i = 0; i < bits; i++) {
    const place = at + i;
    const mask = 0x80 >> (place & 7);
    const before = bytes[place >> 3] ?? 0;
    bytes[place >> 3] = (value >> (bits - 1 - i)) & 1 ? before | mask : before & ~mask;
  }
}

function rows(): Row[] {
  let next = 0;
  let length = 0;
  return SYMBOLS.map(([bits, symbols]) => {
    const first = next << (bits - length);
    next = first + symbols.length;
    length = bits;
    return { bits, first, symbols };
  });
}
