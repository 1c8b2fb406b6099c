import type { Random } from '../../app/ports.ts';

/** A log-normal figure: half of all lie above the median, one in six above median x e^sigma. */
export interface Spread {
  readonly median: number;
  /** 0.7 by default. */
  readonly sigma?: number;
  /** Nothing lies above; 8 x the median by default. */
  readonly max?: number;
}

/** At least 1, whole. */
export function draw({ median, sigma = 0.7, max = 8 * median }: Spread, random: Random): number {
  return Math.max(1, Math.round(Math.min(max, median * Math.exp(sigma * gauss(random)))));
}

/** Mean time between events of that rate, drawn: a Poisson process. */
export function pause(perSecond: number, random: Random): number {
  return (-Math.log(1 - random()) * 1_000) / perSecond;
}

/** Box and Muller. */
function gauss(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
