/**
 * `NAME=VALUE NAME=VALUE`, as WARMPATH_MODELS names aliases, before validation; left as text where an entry is none, which the
 * schema reports.
 */
export function parseMap(
  text: string,
  value: (text: string) => unknown,
): Readonly<Record<string, unknown>> | string {
  const entries: [string, unknown][] = [];
  for (const word of text.split(/\s+/)) {
    if (word === '') continue;
    const at = word.indexOf('=');
    if (at <= 0) return text;
    entries.push([word.slice(0, at), value(word.slice(at + 1))]);
  }
  return Object.fromEntries(entries);
}

/** `NAME=KEY`, as WARMPATH_CLIENTS names clients, before validation. An entry without a name keeps no text: it may be a key. */
export function parseClientFlag(word: string): { readonly name: string; readonly key: string } {
  const at = word.indexOf('=');
  return { name: word.slice(0, Math.max(0, at)), key: word.slice(at + 1) };
}
