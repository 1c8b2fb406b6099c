import { isDeepStrictEqual } from 'node:util';
import { tlsAddress, tlsKey } from '../fleet/node-tls.ts';
import type { NodeId, NodeSpec } from '../fleet/types.ts';
import { LONGEST_ASKED_WAIT_MS } from '../waiting/longest-wait.ts';
import type { Config } from './config.ts';
import { isSection } from './section-context.ts';

/** What a reload changes. */
export interface ConfigDiff {
  /** What holds from now on: the new configuration, less what needs a restart. */
  readonly applied: Config;
  readonly added: readonly NodeSpec[];
  readonly removed: readonly NodeSpec[];
  /** Same name, other settings. */
  readonly changed: readonly { readonly from: NodeSpec; readonly to: NodeSpec }[];
  /** Settings that take effect at once, as paths: `poll.interval`. */
  readonly hot: readonly string[];
  /** Settings whose new value waits for a restart; the old one stays. */
  readonly needsRestart: readonly string[];
}

/** Part of Envoy's bootstrap or of what we bound at start: settled once. */
const SETTLED_AT_START: readonly (keyof Config)[] = [
  'listen',
  'admin',
  'grpc',
  'stateDir',
  'store',
  'replicas',
  'limits',
  'responseHeaders',
  'origins',
  'envoy',
];
const HOT: readonly (keyof Config)[] = [
  'poll',
  'health',
  'routing',
  'discovery',
  'adminToken',
  'rewrites',
  'models',
  'decisions',
];

/**
 * Compares two valid configurations. `knownTls` is what Envoy's bootstrap was told of nodes (`tlsKey`): one that needs
 * another CA or address is held back, as it was or out of the fleet, until the restart that brings it.
 */
export function diffConfig(previous: Config, next: Config, knownTls: ReadonlySet<string>): ConfigDiff {
  const needsRestart = SETTLED_AT_START.flatMap((key) => changedPaths(key, previous[key], next[key]));
  const before = new Map(previous.nodes.map((node) => [node.id, node]));
  const nodes: NodeSpec[] = [];
  for (const node of next.nodes) {
    const key = tlsKey(node);
    if (key === undefined || knownTls.has(key)) {
      nodes.push(node);
      continue;
    }
    needsRestart.push(`nodes.${node.id}.${tlsAddress(node) === undefined ? 'tlsCa' : 'url'}`);
    const old = before.get(node.id);
    if (old !== undefined) nodes.push(old);
  }
  const hot = HOT.flatMap((key) => changedPaths(key, previous[key], next[key]));
  if (previous.log.level !== next.log.level) hot.push('log.level');
  if (previous.log.format !== next.log.format) needsRestart.push('log.format');

  const agents = { ...previous.agents, maxNodes: next.agents.maxNodes };
  needsRestart.push(...changedPaths('agents', agents, next.agents));
  hot.push(...changedPaths('agents', previous.agents, agents));

  const { minEndpoints, objectives } = next.extProc;
  const extProc = { ...previous.extProc, minEndpoints, objectives };
  needsRestart.push(...changedPaths('extProc', extProc, next.extProc));
  hot.push(...changedPaths('extProc', previous.extProc, extProc));

  // Envoy was told at start how long a request may wait, and whether clients' keys are looked at.
  const allowed = Math.max(previous.waiting.maxWait, LONGEST_ASKED_WAIT_MS);
  const isLonger = next.waiting.maxWait > allowed;
  const maxWait = isLonger ? previous.waiting.maxWait : next.waiting.maxWait;
  const waiting = { ...next.waiting, maxWait };
  needsRestart.push(...changedPaths('waiting', waiting, next.waiting));
  hot.push(...changedPaths('waiting', previous.waiting, waiting));
  const clients = previous.clients.length === 0 ? previous.clients : next.clients;
  needsRestart.push(...changedPaths('clients', clients, next.clients));
  hot.push(...changedPaths('clients', previous.clients, clients));

  const { grpc: _, ...rest } = next;
  const settled = Object.fromEntries(SETTLED_AT_START.map((key) => [key, previous[key]]));
  // `settled` holds the previous value of each key in SETTLED_AT_START, so the sum has Config's shape.
  const applied = {
    ...rest,
    ...settled,
    agents,
    extProc,
    waiting,
    clients,
    log: { level: next.log.level, format: previous.log.format },
    nodes,
  } as Config;
  return { applied, ...diffNodes(before, nodes), hot, needsRestart };
}

/** Whether applying it would do anything. */
export function isEmptyDiff(diff: ConfigDiff): boolean {
  const { added, removed, changed, hot } = diff;
  return added.length + removed.length + changed.length + hot.length === 0;
}

function diffNodes(before: ReadonlyMap<NodeId, NodeSpec>, nodes: readonly NodeSpec[]) {
  const after = new Set(nodes.map((node) => node.id));
  return {
    added: nodes.filter((node) => !before.has(node.id)),
    removed: [...before.values()].filter((node) => !after.has(node.id)),
    changed: nodes.flatMap((to) => {
      const from = before.get(to.id);
      return from === undefined || isDeepStrictEqual(from, to) ? [] : [{ from, to }];
    }),
  };
}

function changedPaths(path: string, before: unknown, after: unknown): string[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (!isSection(before) || !isSection(after)) return [path];
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys]
    .filter((key) => !isDeepStrictEqual(before[key], after[key]))
    .map((key) => `${path}.${key}`);
}
