import { barPlot } from '../plot/bar-plot.ts';
import { dotPlot } from '../plot/dot-plot.ts';
import { linearScale, logScale } from '../plot/scale.ts';
import { type Comparison, measuresOf } from './comparison.ts';
import { seconds } from './markdown.ts';
import type { Measures } from './measure.ts';
import { BOUND, overall, WARMPATH } from './verdict.ts';

/** The plots of a comparison, SVG by file name. */
export function reportPlots(comparison: Comparison): ReadonlyMap<string, string> {
  return new Map([
    ['overall.svg', overallPlot(comparison)],
    ['first-token-p95.svg', firstTokenPlot(comparison)],
    ['within-5s.svg', promptPlot(comparison)],
    ['reloads.svg', reloadPlot(comparison)],
  ]);
}

function overallPlot(comparison: Comparison): string {
  const bars = comparison.policies
    .map((label) => ({ label, value: overall(comparison, label, 'ttftP95') }))
    .sort((a, b) => a.value - b.value);
  return barPlot({
    title: 'Time to first token, 95th percentile, over all scenarios',
    subtitle: 'Seconds, geometric mean; shorter is better. clairvoyant knows what no router can.',
    bars,
    show: (value) => `${seconds(value)} s`,
  });
}

function firstTokenPlot(comparison: Comparison): string {
  return dotPlot({
    title: 'Time to first token, 95th percentile, by scenario',
    subtitle: 'Seconds, logarithmic; further left is better.',
    ...dots(comparison, ({ ttftP95 }) => ttftP95),
    scale: (values, from, to) => logScale(values, 0.05, from, to),
    show: (value) => `${Number(value.toPrecision(3))} s`,
  });
}

function promptPlot(comparison: Comparison): string {
  return dotPlot({
    title: 'Requests whose first token came within five seconds',
    subtitle: 'Share of all but batch requests; further right is better.',
    ...dots(comparison, ({ promptShare }) => promptShare),
    scale: (_values, from, to) => linearScale(1, 5, from, to),
    show: (value) => `${Math.round(value * 100)} %`,
  });
}

function reloadPlot(comparison: Comparison): string {
  return dotPlot({
    title: 'Reloads for each thousand requests',
    subtitle:
      'Loads of a model that the node had had in memory before; logarithmic from 1, further left is better.',
    ...dots(comparison, ({ reloads, requests }) => (1_000 * reloads) / Math.max(1, requests)),
    scale: (values, from, to) => logScale(values, 1, from, to),
    show: (value) => String(Number(value.toPrecision(3))),
  });
}

/** The bound below, ours on top. */
function dots(comparison: Comparison, of: (measures: Measures) => number) {
  const special = [BOUND, WARMPATH];
  const series = [
    ...comparison.policies.filter((name) => name === BOUND),
    ...comparison.policies.filter((name) => !special.includes(name)),
    ...comparison.policies.filter((name) => name === WARMPATH),
  ];
  const rows = comparison.scenarios.map(({ name }) => ({
    label: name,
    values: Object.fromEntries(series.map((policy) => [policy, of(measuresOf(comparison, name, policy))])),
  }));
  return { series, rows };
}
