const MAX_SHOWN = 60;

/** A value from outside as an error message may quote it: one line, bounded, control characters escaped. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a section';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  const short = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  // What JSON.stringify leaves: C1 controls, line separators, and characters that turn the reading direction.
  return short.replace(/[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '?');
}
