import type { Measures } from '../../simulate/report/measure.ts';
import type { Scenario, SimResult } from '../../simulate/types.ts';
import { type Column, renderTable } from '../table.ts';
import type { Paint } from '../terminal.ts';

/** One policy's run, as it is shown and as programs get it. */
export interface PolicyRun {
  readonly policy: string;
  readonly measures: Measures;
  readonly refused: number;
  readonly failed: number;
  readonly left: number;
}

const COLUMNS: readonly Column[] = [
  { title: 'POLICY', isFlexible: true },
  ...[
    'P50',
    'P95',
    'P99',
    'DONE P95',
    'LOADS',
    'RELOADS',
    '<5S',
    'FAIR',
    'WASTE',
    'REFUSED',
    'FAILED',
    'LEFT',
  ].map((title): Column => ({ title, align: 'right' })),
];

export function policyRun(result: SimResult, measures: Measures): PolicyRun {
  const count = (end: string): number => result.outcomes.filter((outcome) => outcome.end === end).length;
  return {
    policy: result.policy,
    measures,
    refused: count('refused'),
    failed: count('failed'),
    left: count('left'),
  };
}

/** A table with a line for each policy. */
export function renderRuns(
  scenario: Scenario,
  seed: number,
  runs: readonly PolicyRun[],
  paint: Paint,
  width: number,
): string {
  const facts = `${scenario.requests.length} requests, ${scenario.nodes.length} nodes, ${scenario.models.length} models, seed ${seed}`;
  const rows = runs.map(({ policy, measures, refused, failed, left }) => [
    policy,
    ...[measures.ttftP50, measures.ttftP95, measures.ttftP99, measures.completionP95].map(seconds),
    String(measures.loads),
    String(measures.reloads),
    `${(measures.promptShare * 100).toFixed(1)}%`,
    measures.fairness.toFixed(2),
    seconds(measures.wasteSeconds),
    ...[refused, failed, left].map(String),
  ]);
  const legend =
    'P50, P95, P99: time to the first token. WASTE: of a warm free slot while a request for its model waited, per request.';
  return [
    scenario.about === ''
      ? paint('bold', scenario.name)
      : `${paint('bold', scenario.name)}: ${scenario.about}`,
    `${facts}\n`,
    `${renderTable(COLUMNS, rows, width)}${paint('dim', legend)}\n`,
  ].join('\n');
}

function seconds(value: number): string {
  if (value < 10) return `${value.toFixed(2)}s`;
  return value < 1_000 ? `${value.toFixed(1)}s` : `${value.toFixed(0)}s`;
}
