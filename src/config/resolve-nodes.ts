import { resolve } from 'node:path';
import { isLoopbackHost, isOwnAddress, type Listener } from '../app/destination.ts';
import { formatHostPort } from '../app/host-port.ts';
import type { NodeUrl } from '../fleet/types.ts';
import { certificateProblem } from './certificates.ts';
import { expandVariables } from './expand.ts';
import { deriveNodeName } from './node-url.ts';
import type { Environment } from './overrides.ts';
import type { Problem } from './problem.ts';
import { readSecret, TOKEN_RULE } from './read-secret.ts';
import { nodeKeys } from './schema-nodes.ts';
import { asRecord } from './section-context.ts';

export interface NodeContext {
  /** Relative paths start here. */
  readonly baseDir: string;
  readonly listeners: readonly Listener[];
  readonly localIps: readonly string[];
}

/** What a node's entry does not say by itself. */
export interface NodeExtras {
  readonly name: string;
  readonly token: string | undefined;
  readonly tlsCaFile: string | undefined;
}

export interface ResolvedNodes {
  /** By index; only to be used where there are no problems. */
  readonly extras: readonly NodeExtras[];
  readonly problems: readonly Problem[];
  /** Files that were read. */
  readonly files: readonly string[];
}

/** Replaces `${VAR}` in the nodes' tokens. The answer is a copy; the environment's values appear in no problem. */
export function expandTokens(
  nodes: readonly unknown[],
  env: Environment,
): { nodes: unknown[]; problems: Problem[] } {
  const problems: Problem[] = [];
  const expanded = nodes.map((node, index) => {
    const { token } = asRecord(node);
    if (typeof token !== 'string') return node;
    const value = expandVariables(token, env, (message) =>
      problems.push({ path: ['nodes', index, 'token'], message }),
    );
    return { ...asRecord(node), token: value };
  });
  return { nodes: expanded, problems };
}

/**
 * Checks what concerns several entries or the world outside: names and addresses that occur twice, our own
 * addresses, files. Each value is looked at by itself, so an entry with one wrong key has its other keys checked.
 */
export async function resolveNodes(nodes: readonly unknown[], context: NodeContext): Promise<ResolvedNodes> {
  const problems: Problem[] = [];
  const files: string[] = [];
  const extras: NodeExtras[] = [];
  const byName = new Map<string, number>();
  const byAddress = new Map<string, number>();
  for (const [index, node] of nodes.entries()) {
    const raw = asRecord(node);
    const fail = (key: string, message: string): void => {
      problems.push({ path: ['nodes', index, key], message });
    };
    const url = nodeKeys.url.safeParse(raw.url).data;
    const name = nameOf(raw.name, url, fail);
    const before = problems.length;
    if (url !== undefined) {
      noteTwice(byAddress, `${url.host}:${url.port}`, index, (first) =>
        fail('url', `has the host and port of nodes.${first}; each node is listed once`),
      );
    }
    // The same machine twice has the same name twice: that needs no second line.
    if (problems.length === before || raw.name !== undefined) {
      noteTwice(byName, name, index, (first) =>
        fail(
          raw.name === undefined ? 'url' : 'name',
          `has the name "${name}", and so has nodes.${first}; names must differ`,
        ),
      );
    }
    if (url !== undefined) {
      const own = ownListener(url, context);
      if (own !== undefined) {
        fail(
          'url',
          `is Warmpath's own address ${formatHostPort(own)}, so requests would go in a circle; ` +
            `let Ollama listen on another port, such as OLLAMA_HOST=127.0.0.1:11435`,
        );
      }
      if (raw.tlsCa !== undefined && url.scheme === 'http') fail('tlsCa', 'means something for https only');
    }
    const path = (value: unknown): string | undefined =>
      typeof value === 'string' && value !== '' ? resolve(context.baseDir, value) : undefined;
    const tokenFile = path(raw.tokenFile);
    const tlsCaFile = path(raw.tlsCa);
    let token = typeof raw.token === 'string' ? raw.token : undefined;
    if (tokenFile !== undefined) {
      files.push(tokenFile);
      if (raw.token !== undefined) fail('tokenFile', 'stands beside "token"; give one of them');
      const read = await readSecret(tokenFile, TOKEN_RULE);
      if ('problem' in read) fail('tokenFile', read.problem);
      else token = read.secret;
    }
    if (tlsCaFile !== undefined) {
      files.push(tlsCaFile);
      const problem = await certificateProblem(tlsCaFile);
      if (problem !== undefined) fail('tlsCa', problem);
    }
    extras.push({ name: name ?? '', token, tlsCaFile });
  }
  return { extras, problems, files };
}

function nameOf(
  raw: unknown,
  url: NodeUrl | undefined,
  fail: (key: string, message: string) => void,
): string | undefined {
  if (raw !== undefined) return nodeKeys.name.safeParse(raw).data;
  if (url === undefined) return undefined;
  const derived = deriveNodeName(url);
  if (nodeKeys.name.safeParse(derived).success) return derived;
  fail('url', 'has a host that is too long to serve as a name; add a "name"');
  return undefined;
}

function noteTwice<Key>(
  seen: Map<Key, number>,
  key: Key | undefined,
  index: number,
  report: (first: number) => void,
): void {
  if (key === undefined) return;
  const first = seen.get(key);
  if (first === undefined) seen.set(key, index);
  else report(first);
}

function ownListener(url: NodeUrl, { listeners, localIps }: NodeContext): Listener | undefined {
  const ips = isLoopbackHost(url.host) && !/[\d:]$/.test(url.host) ? ['127.0.0.1', '::1'] : [url.host];
  return listeners.find((listener) => ips.some((ip) => isOwnAddress(ip, url.port, [listener], localIps)));
}
