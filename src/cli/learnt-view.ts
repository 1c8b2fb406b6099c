import type { LearntShown } from '../api/learnt-report.ts';
import type { NodeReport } from '../api/status-schema.ts';
import { type Column, renderTable } from './table.ts';
import { displayText, type Paint } from './terminal.ts';
import { formatAge, formatSeconds } from './units.ts';

/** More is read by machine. */
const MAX_ROWS = 200;
const NONE = '–';

/** What was learnt of each model on each node. */
export function learntTable(nodes: readonly NodeReport[], at: number, paint: Paint, width: number): string {
  const rows = nodes.flatMap(({ name, learnt }) =>
    learnt.map((model, i) => [i === 0 ? displayText(name) : '', ...cells(model, at)]),
  );
  if (rows.length === 0) return 'Nothing is learnt yet: no node has answered a request.\n';
  const figures = ['LOAD', 'PROMPT', 'ANSWER', 'TOKENS', 'HELD', 'INNER WAIT', 'SLOTS', 'SEEN'];
  const columns: Column[] = [
    { title: paint('dim', 'NODE'), isFlexible: true },
    { title: paint('dim', 'MODEL'), isFlexible: true },
    ...figures.map((title): Column => ({ title: paint('dim', title), align: 'right' })),
  ];
  const table = renderTable(columns, rows.slice(0, MAX_ROWS), width);
  return rows.length > MAX_ROWS ? `${table}and ${rows.length - MAX_ROWS} more\n` : table;
}

function cells(model: LearntShown, at: number): string[] {
  return [
    displayText(model.model),
    inSeconds(model.loadSeconds),
    perSecond(model.promptTokensPerSecond),
    perSecond(model.answerTokensPerSecond.find((rate) => rate !== null) ?? null),
    model.answerTokens === null ? NONE : String(Math.round(model.answerTokens)),
    inSeconds(model.heldSeconds),
    inSeconds(model.innerWaitSeconds),
    model.slots === null ? NONE : String(model.slots),
    model.at === null ? NONE : `${formatAge(at - Date.parse(model.at))} ago`,
  ];
}

function inSeconds(seconds: number | null): string {
  return seconds === null ? NONE : `${formatSeconds(seconds)} s`;
}

function perSecond(rate: number | null): string {
  return rate === null ? NONE : `${rate < 10 ? rate.toFixed(1) : Math.round(rate)} /s`;
}
