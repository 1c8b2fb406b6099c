import type { DrainReport, NodesReport, RegisteredNodeReport } from '../api/nodes-schema.ts';
import type { NodeAction } from './nodes.ts';
import { renderTable } from './table.ts';
import { displayText, type Paint, type Style } from './terminal.ts';
import { formatAge } from './units.ts';

const STATE_STYLE: Record<RegisteredNodeReport['state'], Style> = {
  member: 'green',
  candidate: 'yellow',
  gone: 'cyan',
  removed: 'dim',
};
const STATUS_STYLE: Record<NonNullable<RegisteredNodeReport['status']>, Style> = {
  ready: 'green',
  suspect: 'yellow',
  down: 'red',
  draining: 'cyan',
  unknown: 'dim',
};

/** All known nodes as people read them, lines at most `width` long. */
export function renderNodes({ nodes, at }: NodesReport, paint: Paint, width: number): string {
  if (nodes.length === 0)
    return 'No node is known. Name one under "nodes", or let them be found: discovery, agents.\n';
  const now = Date.parse(at);
  const head = (title: string, rest = {}) => ({ title: paint('dim', title), ...rest });
  const columns = [
    head('NAME', { isFlexible: true }),
    head('STATE'),
    head('SOURCE'),
    head('URL', { isFlexible: true }),
    head('SEEN', { align: 'right' as const }),
    head('PROBLEM', { isWrapped: true }),
  ];
  const rows = nodes.map((node) => [
    displayText(node.name),
    stateOf(node, paint),
    displayText(node.source),
    displayText(node.url),
    // The configuration sees nobody: its nodes are there because they are named.
    node.source === 'config' ? '–' : `${formatAge(now - Date.parse(node.lastSeenAt))} ago`,
    problemsOf(node, now),
  ]);
  const waiting = nodes.filter(({ state }) => state === 'candidate').length;
  const hint =
    waiting === 0 ? '' : `\n${waiting} not approved: warmpath nodes approve NAME, or --all-candidates\n`;
  return renderTable(columns, rows, width) + hint;
}

/** Why a node drains and until when, one line. */
export function drainText({ cause, note, removeAt }: DrainReport, inflight: number, now: number): string {
  const left = removeAt === null ? '' : `, removed in ${formatAge(Math.max(0, Date.parse(removeAt) - now))}`;
  const running = inflight === 0 ? '' : `, ${inflight} running`;
  return `${cause}${note === '' ? '' : `: ${displayText(note)}`}${running}${left}`;
}

/** What became of a change, one line. */
export function outcome(name: string, action: NodeAction, node: RegisteredNodeReport | undefined): string {
  const shown = displayText(name);
  switch (action) {
    case 'approve':
      return node?.state === 'candidate'
        ? `${shown} is approved; it joins when it answers as an Ollama`
        : `${shown} is approved`;
    case 'drain': {
      const isRemoved = node?.drains.some(({ removeAt }) => removeAt !== null) === true;
      const running = node === undefined || node.inflight === 0 ? '' : `, ${node.inflight} still run`;
      return `${shown} drains${running}${isRemoved ? '; it is removed when its requests have ended' : ''}`;
    }
    case 'undrain': {
      const rest = node?.drains.map(({ cause }) => cause) ?? [];
      return rest.length === 0
        ? `${shown} takes requests again`
        : `${shown} goes on draining: ${rest.join(', ')}`;
    }
    case 'remove':
      return `${shown} is removed`;
  }
}

function stateOf({ state, status }: RegisteredNodeReport, paint: Paint): string {
  return state === 'member' && status !== null
    ? paint(STATUS_STYLE[status], status)
    : paint(STATE_STYLE[state], state);
}

function problemsOf({ problem, drains, inflight }: RegisteredNodeReport, now: number): string[] {
  return [
    ...(problem === null ? [] : [displayText(problem)]),
    ...drains.map((drain) => drainText(drain, inflight, now)),
  ];
}
