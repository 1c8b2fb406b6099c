import type { ExplanationReport } from '../api/explain-report.ts';
import type { PickReason, Ranking, RejectReason } from '../routing/types.ts';
import { sourceText, vramText } from './gpu-view.ts';
import { type Column, renderTable } from './table.ts';
import { displayText, type Paint } from './terminal.ts';
import { formatBytes, formatSeconds } from './units.ts';

const PICKED: Record<PickReason, string> = {
  warm_idle: 'warm, a slot is free',
  warm_busy: 'warm, waits for a slot',
  loading: 'joins a load under way',
  loads_beside: 'loads into free memory',
  loads_evicting: 'loads, evicting another',
  loads_unknown: 'loads, if memory suffices',
  any: 'needs no loaded model',
  last_resort: 'last resort: not healthy',
};

const REJECTED: Record<RejectReason, string> = {
  model_unknown: 'does not have the model',
  down: 'down',
  draining: 'draining',
  no_address: 'its name does not resolve',
  stuck: 'this model hangs there',
  not_allowed: 'the proxy allows other nodes only',
  list_full: 'not needed, the list is full',
};

/** The ranking as people read it: best first, every term in seconds. */
export function renderExplanation(explanation: ExplanationReport, paint: Paint, width: number): string {
  const { ranking } = explanation;
  const total = ranking.nodes.length + ranking.rejected.length;
  const { model, target } = explanation;
  const served = target === model ? '' : `, served by ${displayText(target)},`;
  const title = `${paint('bold', displayText(model))}${served} on ${displayText(explanation.path)}`;
  const lines = [`${title}: ${ranking.nodes.length} of ${total} nodes would be tried, in this order`, ''];
  if (ranking.nodes.length === 0) lines.splice(0, 2, `${title}: ${whyNone(explanation, total)}`, '');
  else lines.push(rankingTable(ranking, paint, width).trimEnd(), '');
  if (ranking.nodes.length > 0) {
    lines.push(
      paint('dim', 'COST is what the order follows: the terms in seconds, the answer by a share of it.'),
      paint('dim', `${startText(ranking)} ${lineText(explanation.waiting)}`),
      '',
    );
    if (explanation.figures.length > 0) lines.push(figuresTable(explanation, paint, width).trimEnd(), '');
  }
  if (ranking.rejected.length > 0) lines.push(rejectedTable(ranking, paint, width).trimEnd(), '');
  return lines.join('\n');
}

function whyNone({ refusal }: ExplanationReport, total: number): string {
  if (total === 0 || refusal === undefined) return 'no nodes are configured';
  return `${displayText(refusal.message)} (${displayText(refusal.code)})`;
}

function startText({ nodes: [first] }: Ranking): string {
  return first?.startsNow === false
    ? 'A request would wait in the line: no slot is free for it now.'
    : 'A request would begin at once.';
}

function lineText(waiting: number): string {
  if (waiting === 0) return 'None waits for this model.';
  return waiting === 1 ? '1 request waits for this model.' : `${waiting} requests wait for this model.`;
}

export function rankingTable({ nodes }: Ranking, paint: Paint, width: number): string {
  const head = (title: string, rest: Omit<Column, 'title'> = {}): Column => ({
    title: paint('dim', title),
    ...rest,
  });
  const figures = ['RTT', 'SLOT', 'LOAD', 'PROMPT', 'ANSWER', 'EVICT', 'TRUST'];
  const columns = [
    head('#', { align: 'right' }),
    head('NODE', { isFlexible: true }),
    head('COST', { align: 'right' }),
    head('1ST TOKEN', { align: 'right' }),
    head('END', { align: 'right' }),
    ...figures.map((title) => head(title, { align: 'right' })),
    head('NOW'),
    head('WHY', { isFlexible: true }),
  ];
  const rows = nodes.map((node, index) => {
    const { roundTrip, slotWait, load, prompt, answer, eviction, trust } = node.terms;
    const terms = [roundTrip, slotWait, load, prompt, answer, eviction, trust].map(formatSeconds);
    const name = displayText(node.id);
    const cached = node.cachedBytes > 0 ? `, ${formatBytes(node.cachedBytes)} of the prompt cached` : '';
    return [
      String(index + 1),
      index === 0 ? paint('green', name) : name,
      paint('bold', `${formatSeconds(node.seconds)} s`),
      formatSeconds(node.firstTokenSeconds),
      formatSeconds(node.completionSeconds),
      ...terms,
      node.startsNow ? 'yes' : 'no',
      `${PICKED[node.reason]}${cached}`,
    ];
  });
  return renderTable(columns, rows, width);
}

export function rejectedTable({ rejected }: Ranking, paint: Paint, width: number): string {
  const rows = rejected.map(({ id, reason }) => [displayText(id), REJECTED[reason]]);
  return renderTable(
    [{ title: paint('dim', 'LEFT OUT'), isFlexible: true }, { title: paint('dim', 'WHY') }],
    rows,
    width,
  );
}

/** What the ranking took for true of slots and memory, and who says so. */
function figuresTable({ figures }: ExplanationReport, paint: Paint, width: number): string {
  const columns: Column[] = [
    { title: paint('dim', 'NODE'), isFlexible: true },
    { title: paint('dim', 'SLOTS'), align: 'right' },
    { title: paint('dim', 'SAYS') },
    { title: paint('dim', 'VRAM'), align: 'right' },
    { title: paint('dim', 'SAYS') },
  ];
  const rows = figures.map(({ id, slots, vram }) => [
    displayText(id),
    String(Math.round(slots.value)),
    sourceText(slots),
    vramText(vram),
    sourceText(vram),
  ]);
  return renderTable(columns, rows, width);
}
