import { changedSchema, nodesSchema, type RegisteredNodeReport } from '../api/nodes-schema.ts';
import { suggest } from '../config/suggest.ts';
import { AdminRefused, changeAdmin, readAdmin } from './admin-client.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { outcome, renderNodes } from './nodes-view.ts';
import { columnsOf, createPaint, displayText } from './terminal.ts';

/** The admin server that is spoken to. */
export interface NodesTarget {
  /** Without a slash at the end. */
  readonly url: string;
  readonly token: string | undefined;
  readonly json: boolean;
}

export type NodeAction = 'approve' | 'drain' | 'undrain' | 'remove';

export interface NodeChange {
  readonly action: NodeAction;
  readonly names: readonly string[];
  /** `approve` everything that waits for it. */
  readonly allCandidates?: boolean;
  readonly note?: string | undefined;
  readonly removeAfterMs?: number | undefined;
}

/** Everything that a running Warmpath knows of nodes. */
export async function listNodes(io: Io, { url, json }: NodesTarget): Promise<ExitCode> {
  const report = await readAdmin(io, url, '/nodes', nodesSchema);
  io.out.write(
    json
      ? `${JSON.stringify(report, null, 2)}\n`
      : renderNodes(report, createPaint(io.out, io.env), columnsOf(io.out)),
  );
  return EXIT.ok;
}

/** Changes each of the nodes named, and says of each how it went. A name that is none changes nothing at all. */
export async function changeNodes(io: Io, target: NodesTarget, change: NodeChange): Promise<ExitCode> {
  const { nodes } = await readAdmin(io, target.url, '/nodes', nodesSchema);
  const names = change.allCandidates === true ? candidatesOf(nodes) : [...new Set(change.names)];
  const unknown = names.filter((name) => !nodes.some((node) => node.name === name));
  // A drain outlives its node: that it ends must be possible without it.
  if (unknown.length > 0 && change.action !== 'undrain') {
    for (const name of unknown) io.err.write(`warmpath: ${unknownName(name, nodes)}\n`);
    return EXIT.problem;
  }
  if (names.length === 0) {
    io.err.write('warmpath: no node waits to be approved\n');
    return EXIT.ok;
  }
  const results: { name: string; error?: string; node?: RegisteredNodeReport | null }[] = [];
  for (const name of names) {
    try {
      results.push({ name, node: await send(io, target, name, change) });
    } catch (error) {
      if (!(error instanceof AdminRefused)) throw error;
      const isUnknown = unknown.includes(name);
      results.push({ name, error: isUnknown ? unknownName(name, nodes) : error.message });
    }
  }
  if (target.json) io.out.write(`${JSON.stringify({ results }, null, 2)}\n`);
  else {
    for (const { name, error, node } of results) {
      if (error === undefined) io.out.write(`${outcome(name, change.action, node ?? undefined)}\n`);
      else io.err.write(`warmpath: ${displayText(error)}\n`);
    }
  }
  return results.some(({ error }) => error !== undefined) ? EXIT.problem : EXIT.ok;
}

async function send(
  io: Io,
  { url, token }: NodesTarget,
  name: string,
  { action, note, removeAfterMs }: NodeChange,
): Promise<RegisteredNodeReport | null> {
  const path = `/nodes/${encodeURIComponent(name)}`;
  const body = action === 'drain' ? { note: note ?? '', removeAfterMs } : {};
  const request =
    action === 'remove'
      ? { method: 'DELETE' as const, path, body: undefined }
      : { method: 'POST' as const, path: `${path}/${action}`, body };
  return (await changeAdmin(io, url, { ...request, token }, changedSchema)).node;
}

function candidatesOf(nodes: readonly RegisteredNodeReport[]): string[] {
  return nodes.filter(({ state }) => state === 'candidate').map(({ name }) => name);
}

function unknownName(name: string, nodes: readonly RegisteredNodeReport[]): string {
  const meant = suggest(
    name,
    nodes.map((node) => node.name),
  );
  const hint =
    meant === undefined ? 'warmpath nodes list shows those there are' : `did you mean ${displayText(meant)}?`;
  return `no node is named ${displayText(name.slice(0, 64))}; ${hint}`;
}
