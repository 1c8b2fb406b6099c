const LOWER_U = 0x75;
/** The characters that may follow a backslash, apart from `u`. */
const SIMPLE = new Set(Array.from('"\\/bfnrt', (character) => character.charCodeAt(0)));
const isSimple = Uint8Array.from({ length: 256 }, (_, byte) => (SIMPLE.has(byte) ? 1 : 0));

/** The position after the escape that begins at `backslash`; -1 where it is not a complete JSON escape. */
export function stringEscapeEnd(bytes: Uint8Array, backslash: number): number {
  const byte = bytes[backslash + 1];
  if (byte === undefined) return -1;
  if (isSimple[byte] === 1) return backslash + 2;
  if (byte !== LOWER_U) return -1;
  for (let i = backslash + 2; i < backslash + 6; i++) {
    if (!isHexDigit(bytes[i])) return -1;
  }
  return backslash + 6;
}

/** The value of four hexadecimal digits. */
export function hexCode(bytes: Uint8Array, start: number): number {
  let code = 0;
  for (let i = start; i < start + 4; i++) {
    const byte = bytes[i] ?? 0;
    code = code * 16 + (byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x57);
  }
  return code;
}

export function isHexDigit(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  const lower = byte | 0x20;
  return (byte >= 0x30 && byte <= 0x39) || (lower >= 0x61 && lower <= 0x66);
}
