const KEEP = 300;
const HEAD = 64;
const WHOLE = 1024;
const MAX_QUOTES = 131_072;
const MAX_BONES = 131_072;

/**
 * What the Lua filter makes of a body, written anew as a reference: text outside strings as it is, strings of more than
 * 300 bytes cut to 64 and their length. Undefined where the filter gives up.
 */
export function bonesOf(body: Uint8Array): Uint8Array | undefined {
  const bones = body.length <= WHOLE ? body : cutStrings(body);
  return bones?.includes(0) ? undefined : bones;
}

function cutStrings(body: Uint8Array): Uint8Array | undefined {
  const out: number[] = [];
  let quotes = 0;
  let pos = 0;
  while (pos < body.length) {
    const byte = body[pos++] ?? 0;
    out.push(byte);
    if (byte !== 0x22) continue;
    const end = closingQuote(body, pos);
    if (end < 0) return undefined;
    const text = body.subarray(pos, end);
    quotes += 1 + text.filter((code) => code === 0x22).length;
    out.push(...(text.length > KEEP ? [...text.subarray(0, HEAD), ...ascii(`#${text.length}`)] : text), 0x22);
    pos = end + 1;
    if (quotes > MAX_QUOTES || out.length > MAX_BONES) return undefined;
  }
  return out.length > MAX_BONES ? undefined : Uint8Array.from(out);
}

/** How bones reach the control plane: as a JavaScript string, with U+FFFD for what is not UTF-8. */
export function asReceived(bones: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bones);
}

function closingQuote(body: Uint8Array, from: number): number {
  for (let pos = from; pos < body.length; pos++) {
    if (body[pos] === 0x5c) pos++;
    else if (body[pos] === 0x22) return pos;
  }
  return -1;
}

function ascii(text: string): number[] {
  return Array.from(text, (character) => character.charCodeAt(0));
}
