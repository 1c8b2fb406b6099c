/** The value that a share of `sorted` does not exceed; 0 of nothing. Nearest rank. */
export function percentile(sorted: readonly number[], share: number): number {
  const rank = Math.max(1, Math.ceil(sorted.length * share));
  return sorted[Math.min(sorted.length, rank) - 1] ?? 0;
}

/** 1: all have the same; 1/n: one has everything. 1 where nobody has anything. */
export function jain(shares: readonly number[]): number {
  let sum = 0;
  let squares = 0;
  for (const share of shares) {
    sum += share;
    squares += share * share;
  }
  return squares === 0 ? 1 : (sum * sum) / (shares.length * squares);
}

/** Of values above 0; what is not counts as `floor`. */
export function geometricMean(values: readonly number[], floor = 1e-3): number {
  let sum = 0;
  for (const value of values) sum += Math.log(Math.max(floor, value));
  return values.length === 0 ? 0 : Math.exp(sum / values.length);
}

export function mean(values: readonly number[]): number {
  let sum = 0;
  for (const value of values) sum += value;
  return values.length === 0 ? 0 : sum / values.length;
}
