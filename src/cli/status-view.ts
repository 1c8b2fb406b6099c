import type { NodeReport, StatusReport } from '../api/status-schema.ts';
import { extProcView } from './ext-proc-view.ts';
import { gpuTable, vramText } from './gpu-view.ts';
import { learntTable } from './learnt-view.ts';
import { decisionLines, lineView } from './line-view.ts';
import { drainText } from './nodes-view.ts';
import { type Column, renderTable } from './table.ts';
import { displayText, type Paint, type Style } from './terminal.ts';
import { formatAge, formatBytes } from './units.ts';

const MAX_WARM_LINES = 5;
const NO_NODES =
  'No nodes are known. Name one (--node http://HOST:11434), have them found (--discover mdns), or let agents join (--agents HOST:PORT).';

const STATUS_STYLE: Record<NodeReport['status'], Style> = {
  ready: 'green',
  suspect: 'yellow',
  down: 'red',
  draining: 'cyan',
  unknown: 'dim',
};

/** The status report as people read it, lines at most `width` long; `withModels`: what was learnt of each model too. */
export function renderStatus(report: StatusReport, paint: Paint, width: number, withModels = false): string {
  const parts = [
    headline(report, paint),
    ...sharing(report, paint),
    ...extProcView(report, paint),
    ...alarms(report, paint),
    '',
  ];
  if (report.nodes.length === 0) {
    parts.push(NO_NODES, '');
    return parts.join('\n');
  }
  const at = Date.parse(report.at);
  parts.push(nodeTable(report.nodes, at, paint, width).trimEnd(), '');
  const gpus = gpuTable(report.nodes, paint, width);
  if (gpus !== undefined) parts.push(gpus.trimEnd(), '');
  if (withModels) parts.push(learntTable(report.nodes, at, paint, width).trimEnd(), '');
  parts.push(...lineView(report.line, paint, width));
  const others = decisionLines(report, paint);
  if (others.length > 0) parts.push(...others, '');
  const troubles = report.nodes.flatMap((node) => [...drains(node, at, paint), ...trouble(node, at, paint)]);
  if (troubles.length > 0) parts.push(...troubles, '');
  return parts.join('\n');
}

function headline(report: StatusReport, paint: Paint): string {
  const ready = report.nodes.filter((node) => node.status === 'ready').length;
  const state = report.isReady
    ? paint('green', 'ready')
    : paint('yellow', `not ready: ${displayText(report.unready.join(', '))}`);
  const parts = [
    `${paint('bold', 'warmpath')} ${displayText(report.version)}`,
    state,
    `up ${formatAge(report.uptimeSeconds * 1000)}`,
    `${ready} of ${report.nodes.length} nodes ready`,
  ];
  if (report.listen !== null) parts.push(`on ${displayText(report.listen)}`);
  if (report.envoy?.version != null) parts.push(`envoy ${displayText(report.envoy.version)}`);
  if ((report.envoy?.restarts ?? 0) > 0)
    parts.push(paint('yellow', `envoy restarts: ${report.envoy?.restarts}`));
  return parts.join(' · ');
}

/** Only where state is shared at all. */
function sharing({ sharing: { store, replicas }, nodes }: StatusReport, paint: Paint): string[] {
  if (store.kind === 'memory') return [];
  const state = paint(store.state === 'up' ? 'green' : 'yellow', store.state);
  const each = replicas.map(({ id, inflight }) => {
    const polled = nodes.filter(({ poller }) => poller === id).length;
    return `${displayText(id)} (${inflight} in flight, polls ${polled})`;
  });
  return [`${displayText(store.kind)} ${state} · replicas: ${each.join(', ')}`];
}

function alarms(report: StatusReport, paint: Paint): string[] {
  const at = Date.parse(report.at);
  return report.alarms.map(({ code, message, since }) => {
    const age = formatAge(at - Date.parse(since));
    return `${paint('red', `! ${displayText(code)}`)} for ${age}: ${displayText(message)}`;
  });
}

function nodeTable(nodes: readonly NodeReport[], at: number, paint: Paint, width: number): string {
  const head = (title: string, rest: Omit<Column, 'title'> = {}): Column => ({
    title: paint('dim', title),
    ...rest,
  });
  const columns = [
    head('NODE', { isFlexible: true }),
    head('STATE'),
    head('MODELS WARM', { isFlexible: true }),
    head('IN FLIGHT', { align: 'right' }),
    head('SLOTS', { align: 'right' }),
    head('VRAM', { align: 'right' }),
    head('RTT', { align: 'right' }),
  ];
  const rows = nodes.map((node) => [
    displayText(node.name),
    state(node, at, paint),
    warmLines(node, paint),
    String(node.inflight),
    // What nobody said is an estimate.
    `${node.slots.source === 'learnt' ? '~' : ''}${Math.round(node.slots.value)}`,
    vramText(node.vram),
    node.rttMs === null ? '–' : `${node.rttMs.toFixed(1)} ms`,
  ]);
  return renderTable(columns, rows, width);
}

/** How long it has been so matters where it is not well. */
function state(node: NodeReport, at: number, paint: Paint): string {
  const word = paint(STATUS_STYLE[node.status], node.status);
  return node.status === 'ready' ? word : `${word} ${paint('dim', formatAge(at - Date.parse(node.since)))}`;
}

function warmLines(node: NodeReport, paint: Paint): string[] {
  if (node.warm.length === 0) return [paint('dim', `none of ${node.models.length}`)];
  const lines = node.warm.slice(0, MAX_WARM_LINES).map((model) => {
    const busy = model.inflight > 0 ? ` ×${model.inflight}` : '';
    return `${displayText(model.name)}${busy} ${paint('dim', formatBytes(model.sizeBytes))}`;
  });
  if (node.warm.length > MAX_WARM_LINES) lines.push(`and ${node.warm.length - MAX_WARM_LINES} more`);
  return lines;
}

function drains(node: NodeReport, at: number, paint: Paint): string[] {
  const name = paint(STATUS_STYLE.draining, displayText(node.name));
  return node.drains.map((drain) => {
    const since = drain.since === null ? '' : ` (for ${formatAge(at - Date.parse(drain.since))})`;
    return `${name}: drains, ${drainText(drain, node.inflight, at)}${since}`;
  });
}

function trouble(node: NodeReport, at: number, paint: Paint): string[] {
  if (node.status === 'ready' || node.lastFailure === null) return [];
  const { reason, detail, at: when } = node.lastFailure;
  const what = `${displayText(reason)}${detail === '' ? '' : `, ${displayText(detail)}`}`;
  const name = paint(STATUS_STYLE[node.status], displayText(node.name));
  return [
    `${name}: ${what} (${formatAge(at - Date.parse(when))} ago) ${paint('dim', displayText(node.url))}`,
  ];
}
