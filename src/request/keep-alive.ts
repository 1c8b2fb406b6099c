const NANOSECONDS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3, // U+00B5
  μs: 1e3, // U+03BC
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};
const DURATION = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/;
const PART = /(\d*)(\.\d*)?(ns|us|µs|μs|ms|s|m|h)/g;

/** Below this the model is gone before the next request could find it. */
const SHORTEST_STAY_NS = 1e9;

/** Whether a numeric `keep_alive`, in seconds, unloads the model at once. Negative ones keep it for ever. */
export function numberUnloads(seconds: number): boolean {
  return seconds >= 0 && seconds * 1e9 < SHORTEST_STAY_NS;
}

/** Whether a `keep_alive` such as "0" or "5m", in the grammar of Go's ParseDuration, unloads the model at once. */
export function textUnloads(text: string): boolean {
  if (/^[+-]?0$/.test(text)) return true;
  if (!DURATION.test(text)) return false; // the node refuses it
  let nanoseconds = 0;
  for (const [, whole, fraction, unit] of text.matchAll(PART)) {
    const scale = NANOSECONDS[unit ?? ''] ?? 0;
    nanoseconds += Number(whole) * scale + Math.trunc(Number(`0${fraction ?? ''}`) * scale);
  }
  // Go drops fractions of a nanosecond before it looks at the sign.
  return nanoseconds === 0 || (!text.startsWith('-') && nanoseconds < SHORTEST_STAY_NS);
}
