/**
 * Prints one measured figure, on a line of its own that starts with `figure:`, so that a run's figures can be collected.
 * Written to stdout directly: test reporters hold back or decorate what goes through the console.
 */
export function figure(what: string, values: Readonly<Record<string, number | string>>): void {
  const parts = Object.entries(values).map(([name, value]) => `${name}=${shown(value)}`);
  process.stdout.write(`figure: ${what}: ${parts.join(' ')}\n`);
}

/** The value below which this share of the values lies; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

function shown(value: number | string): string {
  return typeof value === 'number' && !Number.isInteger(value) ? value.toFixed(1) : String(value);
}
