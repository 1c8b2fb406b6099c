import type { Random } from '../app/ports.ts';
import type { Lengths, Weighted } from './workload-types.ts';

/** Exponential with this mean: the gap between arrivals that know nothing of each other. */
export function exponential(mean: number, random: Random): number {
  return -Math.log(1 - random()) * mean;
}

/** A whole number of the distribution. */
export function draw({ median, spread, min, max }: Lengths, random: Random): number {
  const value = spread === 0 ? median : median * Math.exp(spread * gaussian(random));
  return Math.round(Math.min(max, Math.max(min, value)));
}

/** Undefined where there is nothing to choose from. */
export function pick<Value>(choices: readonly Weighted<Value>[], random: Random): Value | undefined {
  let total = 0;
  for (const { weight } of choices) total += weight;
  let left = random() * total;
  for (const { value, weight } of choices) {
    left -= weight;
    if (left < 0) return value;
  }
  return choices.at(-1)?.value;
}

/** Box and Muller. */
function gaussian(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
