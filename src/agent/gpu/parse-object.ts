/** A JSON object or array within what a tool printed: some print warnings before and after it. Undefined: none. */
export function jsonIn(text: string): unknown {
  const start = text.search(/[[{]\s*(?:["{[\]}]|$)/);
  const end = Math.max(text.lastIndexOf('}'), text.lastIndexOf(']'));
  if (start === -1 || end < start) return undefined;
  try {
    return JSON.parse(text.slice(start, end + 1));
  } catch {
    return undefined;
  }
}

export type Fields = Readonly<Record<string, unknown>>;

/** The value as an object, an empty one where it is something else. */
export function fieldsOf(value: unknown): Fields {
  // An object that is no array: any key may be read, and what it holds stays unknown.
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}
