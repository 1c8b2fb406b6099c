/** Sum of all series of one metric, in a page that Prometheus scrapes, whose labels include these. */
export function metricSum(page: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  let sum = 0;
  for (const line of page.split('\n')) {
    const [, found, set = '', value] = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
    if (found !== name) continue;
    if (Object.entries(labels).every(([key, text]) => set.includes(`${key}="${text}"`))) sum += Number(value);
  }
  return sum;
}
