import { type Comparison, measuresOf } from './comparison.ts';
import type { Measures } from './measure.ts';
import { BOUND, bestRival, overall, ratio, verdicts, WARMPATH } from './verdict.ts';

interface Column {
  readonly head: string;
  readonly show: (measures: Measures) => string;
}

const COLUMNS: readonly Column[] = [
  { head: 'TTFT p50', show: ({ ttftP50 }) => seconds(ttftP50) },
  { head: 'p95', show: ({ ttftP95 }) => seconds(ttftP95) },
  { head: 'p99', show: ({ ttftP99 }) => seconds(ttftP99) },
  { head: 'within 5 s', show: ({ promptShare }) => percent(promptShare) },
  { head: 'whole answer p95', show: ({ completionP95 }) => seconds(completionP95) },
  { head: 'reloads', show: ({ reloads }) => count(reloads) },
  { head: 'fairness', show: ({ fairness }) => fairness.toFixed(2) },
  { head: 'waste', show: ({ wasteSeconds }) => seconds(wasteSeconds) },
  { head: 'unserved', show: ({ unservedShare }) => percent(unservedShare) },
];

/** All tables of a comparison, in Markdown; the same comparison gives the same text. */
export function reportTables(comparison: Comparison): string {
  return [
    targetTable(comparison),
    overallTable(comparison),
    ratioTable(comparison),
    ...comparison.scenarios.map((scenario) => scenarioTable(comparison, scenario)),
  ].join('\n\n');
}

function targetTable(comparison: Comparison): string {
  const rows = verdicts(comparison).map(({ target, found, isMet }) => [
    target,
    found,
    isMet ? 'met' : '**missed**',
  ]);
  return `### Targets\n\n${table(['target', 'found', ''], rows)}`;
}

function overallTable(comparison: Comparison): string {
  const rows = comparison.policies.map((policy) => [
    strong(policy),
    seconds(overall(comparison, policy, 'ttftP50')),
    seconds(overall(comparison, policy, 'ttftP95')),
    seconds(overall(comparison, policy, 'ttftP99')),
    seconds(overall(comparison, policy, 'completionP95')),
    count(overall(comparison, policy, 'reloads')),
  ]);
  const head = ['policy', 'TTFT p50', 'p95', 'p99', 'whole answer p95', 'reloads'];
  return `### Over all scenarios (geometric means)\n\n${table(head, rows)}`;
}

function ratioTable(comparison: Comparison): string {
  const hasBound = comparison.policies.includes(BOUND);
  const rows = comparison.scenarios.map(({ name }) => {
    const ours = measuresOf(comparison, name, WARMPATH);
    const rival = bestRival(comparison, name, ({ ttftP95 }) => ttftP95);
    const fewest = bestRival(comparison, name, ({ reloads }) => reloads);
    const bound = hasBound ? measuresOf(comparison, name, BOUND).ttftP95 : undefined;
    return [
      name,
      seconds(ours.ttftP95),
      `${seconds(rival.value)} (${rival.name})`,
      ratio(ours.ttftP95, rival.value).toFixed(2),
      bound === undefined ? '' : ratio(ours.ttftP95, bound).toFixed(2),
      count(ours.reloads),
      `${count(fewest.value)} (${fewest.name})`,
    ];
  });
  const head = [
    'scenario',
    'TTFT p95',
    'best rival',
    'ours / rival',
    'ours / bound',
    'reloads',
    'fewest of a rival',
  ];
  return `### Warmpath against the best rival of each scenario\n\n${table(head, rows)}`;
}

function scenarioTable(
  comparison: Comparison,
  { name, about, requests }: Comparison['scenarios'][number],
): string {
  const rows = comparison.policies.map((policy) => {
    const measures = measuresOf(comparison, name, policy);
    return [strong(policy), ...COLUMNS.map(({ show }) => show(measures))];
  });
  const head = ['policy', ...COLUMNS.map(({ head }) => head)];
  return `### ${name}\n\n${about} ${requests} requests.\n\n${table(head, rows)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((text, i) => Math.max(3, text.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`;
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

function strong(policy: string): string {
  return policy === WARMPATH ? `**${policy}**` : policy;
}

/** `0.123 s` is more than anybody wants to know. */
export function seconds(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function count(value: number): string {
  return value >= 10 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1);
}
