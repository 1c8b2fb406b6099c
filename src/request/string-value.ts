const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/** The text of a string as written between its quotes, valid JSON; undefined where it is not UTF-8. Meant for short ones. */
export function stringValue(bytes: Uint8Array, start: number, end: number): string | undefined {
  const written = plainAscii(bytes, start, end) ?? decodeUtf8(bytes.subarray(start, end));
  if (written === undefined || !written.includes('\\')) return written;
  return written.replaceAll(/\\(?:u([0-9A-Fa-f]{4})|(.))/g, (_, hex: string | undefined, simple: string) =>
    hex === undefined ? (ESCAPES[simple] ?? simple) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function plainAscii(bytes: Uint8Array, start: number, end: number): string | undefined {
  let text = '';
  for (let pos = start; pos < end; pos++) {
    const byte = bytes[pos] ?? 0;
    if (byte >= 0x80) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}
