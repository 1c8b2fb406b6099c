/** From values to pixels, with the values that are written at the axis. */
export interface Scale {
  readonly ticks: readonly number[];
  at(value: number): number;
}

/** Each power of ten, twice and five times it; values below `least` stand at its place. */
export function logScale(values: readonly number[], least: number, from: number, to: number): Scale {
  const low = Math.max(least, Math.min(...values));
  const high = Math.max(low * 2, ...values);
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1)
    for (const step of [1, 2, 5]) {
      const tick = Number((step * 10 ** power).toPrecision(1));
      if (tick >= low / 2 && tick <= high * 2) ticks.push(tick);
    }
  const inside = { low: Math.min(low, ticks[0] ?? low), high: Math.max(high, ticks.at(-1) ?? high) };
  const share = (value: number) =>
    Math.log(Math.max(value, inside.low) / inside.low) / Math.log(inside.high / inside.low);
  return { ticks, at: (value) => from + share(value) * (to - from) };
}

/** From 0 to `top` in `steps` steps. */
export function linearScale(top: number, steps: number, from: number, to: number): Scale {
  return {
    ticks: Array.from({ length: steps + 1 }, (_, i) => (top * i) / steps),
    at: (value) => from + (value / top) * (to - from),
  };
}
