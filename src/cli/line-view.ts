import type { LineShown, ShadowShown } from '../api/line-report.ts';
import type { StatusReport } from '../api/status-schema.ts';
import { type Column, renderTable } from './table.ts';
import { displayText, type Paint } from './terminal.ts';
import { formatAge, formatSeconds } from './units.ts';

/** More is read by machine. */
const MAX_SHARES = 8;

const REASONS: Record<keyof LineShown['byReason'], string> = {
  slots_busy: 'for a free slot',
  loading: 'for the model to load',
  no_room: 'because loading it would cost others more',
};

/** The waiting line: how long it is, who waits for what, and why; empty where nobody waits. */
export function lineView(line: LineShown, paint: Paint, width: number): string[] {
  if (line.length === 0) return [];
  const classes = Object.entries(line.byClass).filter(([, count]) => count > 0);
  const head = [
    paint('yellow', `${line.length} waiting`),
    `the first for ${formatAge(line.oldestMs ?? 0)}`,
    classes.map(([name, count]) => `${count} ${name}`).join(', '),
  ];
  const reasons = Object.entries(REASONS).flatMap(([reason, text]) => {
    const count = line.byReason[reason as keyof LineShown['byReason']]; // sound: the keys of a Record
    return count > 0 ? [`${count} ${text}`] : [];
  });
  const rows = Array.from(
    { length: Math.min(MAX_SHARES, Math.max(line.byModel.length, line.byCaller.length)) },
    (_, i) => [...share(line.byModel[i]), ...share(line.byCaller[i])],
  );
  const columns: Column[] = ['MODEL', 'CALLER'].flatMap((title) => [
    { title: paint('dim', title), isFlexible: true },
    { title: paint('dim', 'WAITING'), align: 'right' as const },
    { title: paint('dim', 'LONGEST'), align: 'right' as const },
  ]);
  return [
    head.join(' · '),
    `waiting ${reasons.join(', ')}`,
    '',
    renderTable(columns, rows, width).trimEnd(),
    '',
  ];
}

function share(of: LineShown['byModel'][number] | undefined): string[] {
  return of === undefined ? ['', '', ''] : [displayText(of.name), String(of.waiting), formatAge(of.oldestMs)];
}

/** What beside the nodes is worth a line: refused killers, a second policy, a recording that loses lines. */
export function decisionLines({ guard, shadow, recording }: StatusReport, paint: Paint): string[] {
  const lines: string[] = [];
  if (guard.refusedBodies > 0)
    lines.push(
      paint('red', `${guard.refusedBodies} requests are refused because they seem to crash nodes`) +
        ` (${guard.refusals} times so far)`,
    );
  if (shadow !== null) lines.push(shadowLine(shadow, paint));
  if (recording !== null && recording.dropped > 0)
    lines.push(
      paint('yellow', `${recording.dropped} decisions could not be recorded, ${recording.written} were`),
    );
  return lines;
}

function shadowLine(shadow: ShadowShown, paint: Paint): string {
  const name = `shadow policy ${displayText(shadow.policy)}`;
  if (shadow.isOff) return paint('yellow', `${name}: failed and is switched off`);
  if (shadow.asked === 0) return `${name}: not asked yet`;
  const share = Math.round((100 * shadow.agreed) / shadow.asked);
  const parts = [`${name}: agrees with ${share} % of ${shadow.asked} decisions`];
  if (shadow.meanRegretSeconds !== null)
    parts.push(`would cost ${formatSeconds(Math.max(0, shadow.meanRegretSeconds))} s more by our prediction`);
  const { realSecondsAgreed: agreed, realSecondsDiffered: differed } = shadow;
  if (agreed !== null) parts.push(`${formatSeconds(agreed)} s to the first token where it agrees`);
  if (differed !== null) parts.push(`${formatSeconds(differed)} s where not`);
  return parts.join(', ');
}
