import type { DecisionShown } from '../api/decision-report.ts';
import { rankingTable, rejectedTable } from './explain-view.ts';
import { displayText, type Paint } from './terminal.ts';
import { formatAge, formatSeconds } from './units.ts';

const REPLAY: Record<DecisionShown['replay'], string> = {
  same: 'Made again from its recorded input, the ranking comes out the same.',
  different: 'Made again from its recorded input, the ranking comes out DIFFERENT: please report this.',
  not_kept: 'What it followed from is no longer kept: the ranking cannot be made again.',
};

const NOT_RANKED =
  'No ranking is kept of it: it is not about the nodes, or many were refused within a moment.';

const WAITED_FOR: Record<string, string> = {
  slots_busy: 'all slots were busy',
  loading: 'the model was being loaded',
  no_room: 'loading it would have cost others more',
};

/** One decision as people read it: what was asked, what was chosen and why, and what came of it. */
export function renderDecision(decision: DecisionShown, paint: Paint, width: number): string {
  const { ranking } = decision;
  const lines = [
    `${paint('bold', displayText(decision.id))} at ${displayText(decision.at)}, snapshot ${decision.snapshotVersion}${envoysName(decision)}`,
    requestLine(decision),
    ...callerLine(decision),
    ...editLines(decision),
    ...refusalLine(decision, paint),
    '',
  ];
  if (ranking.nodes.length > 0) lines.push(rankingTable(ranking, paint, width).trimEnd(), '');
  if (ranking.rejected.length > 0) lines.push(rejectedTable(ranking, paint, width).trimEnd(), '');
  if (decision.refusal !== undefined) {
    if (ranking.nodes.length + ranking.rejected.length === 0) lines.push(paint('dim', NOT_RANKED));
    return `${lines.join('\n')}\n`;
  }
  lines.push(
    ...attemptLines(decision, paint),
    ...outcomeLines(decision),
    paint('dim', REPLAY[decision.replay]),
    '',
  );
  return lines.join('\n');
}

function envoysName({ requestId }: DecisionShown): string {
  return requestId === undefined ? '' : `, request ${displayText(requestId)}`;
}

function requestLine({ asked, model, path, bodyBytes, features }: DecisionShown): string {
  const name =
    asked === model ? displayText(model) : `${displayText(asked)}, served by ${displayText(model)}`;
  const parts = [`${name} on ${displayText(path)}`, `${bodyBytes} B, ${features.promptBytes} B of prompt`];
  if (features.numCtx !== undefined) parts.push(`context ${features.numCtx}`);
  if (features.maxTokens !== undefined) parts.push(`at most ${features.maxTokens} tokens`);
  if (features.images > 0) parts.push(`${features.images} images`);
  if (features.wantsTools) parts.push('tools');
  if (features.isEmpty) parts.push('loads the model only');
  if (features.unloads) parts.push('unloads the model');
  return parts.join(' · ');
}

function callerLine({ caller, waitedMs, waitedFor }: DecisionShown): string[] {
  const parts: string[] = [];
  if (caller !== undefined) parts.push(`asked by ${displayText(caller.id)}, ${displayText(caller.class)}`);
  if (waitedMs > 0) {
    const why = waitedFor === undefined ? '' : `: ${WAITED_FOR[waitedFor] ?? displayText(waitedFor)}`;
    parts.push(`waited ${formatAge(waitedMs)}${why}`);
  }
  return parts.length === 0 ? [] : [parts.join(' · ')];
}

/** The ranking below it is the one of that moment. */
function refusalLine({ refusal }: DecisionShown, paint: Paint): string[] {
  if (refusal === undefined) return [];
  return [`${paint('red', 'refused')}: ${displayText(refusal.code)}, ${displayText(refusal.message)}`];
}

function editLines({ edits }: DecisionShown): string[] {
  return edits.map(({ field, to, name, why }) => {
    const what =
      to === undefined
        ? `option ${displayText(name ?? '')} taken out`
        : `${displayText(field)} set to ${displayText(String(to))}`;
    return `body changed: ${what}${typeof why === 'string' ? ` (${displayText(why)})` : ''}`;
  });
}

function attemptLines({ attempts }: DecisionShown, paint: Paint): string[] {
  if (attempts.length === 0) return ['No attempt has ended yet.'];
  return attempts.map(
    ({ node, result }, index) =>
      `attempt ${index + 1}: ${displayText(node)} ${paint(result === 'served' ? 'green' : 'red', displayText(result))}`,
  );
}

function outcomeLines({ outcome, seconds }: DecisionShown): string[] {
  if (outcome === undefined) return [];
  const { end, status, totalMs, usage } = outcome;
  const tokens =
    usage.promptTokens === undefined && usage.completionTokens === undefined
      ? ''
      : `, ${usage.promptTokens ?? '?'} + ${usage.completionTokens ?? '?'} tokens`;
  const lines = [`ended: ${displayText(end)}, ${status}, after ${formatSeconds(totalMs / 1000)} s${tokens}`];
  if (seconds === undefined) return lines;
  const { predictedFirstToken, realFirstToken, predictedCompletion, realCompletion } = seconds;
  if (realFirstToken !== undefined) lines.push(compared('first token', predictedFirstToken, realFirstToken));
  lines.push(compared('completion', predictedCompletion, realCompletion));
  return lines;
}

function compared(what: string, predicted: number, real: number): string {
  return `${what}: predicted ${formatSeconds(predicted)} s, came after ${formatSeconds(real)} s`;
}
