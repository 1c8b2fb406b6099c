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
/** Go's durations are 64-bit. */
const MAX_DURATION_NS = 2 ** 63;
const DURATION = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/;
const PART = /(\d*)(\.\d*)?(ns|us|µs|μs|ms|s|m|h)/g;

/** Below this, in seconds, the model is gone before the next request could find it. */
const SHORTEST_STAY = 1;

/** Seconds of a numeric `keep_alive`, -1 where it is negative: for ever. Undefined for what no number holds. */
export function numberStay(seconds: number): number | undefined {
  if (!Number.isFinite(seconds)) return undefined; // the node refuses it
  return seconds < 0 ? -1 : seconds + 0;
}

/** Seconds of a `keep_alive` such as "0" or "5m", in the grammar of Go's ParseDuration; -1: for ever. */
export function textStay(text: string): number | undefined {
  if (/^[+-]?0$/.test(text)) return 0;
  if (!DURATION.test(text)) return undefined; // the node refuses it
  let nanoseconds = 0;
  for (const [, whole, fraction, unit] of text.matchAll(PART)) {
    const scale = NANOSECONDS[unit ?? ''] ?? 0;
    nanoseconds += Number(whole) * scale + Math.trunc(Number(`0${fraction ?? ''}`) * scale);
  }
  if (nanoseconds > MAX_DURATION_NS) return undefined; // the node refuses it
  // Go drops fractions of a nanosecond before it looks at the sign.
  return nanoseconds !== 0 && text.startsWith('-') ? -1 : nanoseconds / 1e9;
}

/** Whether a model that stays so long, in seconds, goes as soon as it has answered. */
export function unloadsAfter(stay: number | undefined): boolean {
  return stay !== undefined && stay >= 0 && stay < SHORTEST_STAY;
}
