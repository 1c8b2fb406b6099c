import { resolve } from 'node:path';
import { parseDiscoverFlag, parseEndpointFlag } from './discover-flag.ts';
import { parseClientFlag, parseMap } from './map-flag.ts';
import { parseNodeFlag } from './node-flag.ts';
import type { Path } from './problem.ts';
import { KNOWN_KEYS } from './schema.ts';

/** Settings that every command's flags may name. Undefined: not given. */
export interface ConfigFlags {
  /** `[NAME=]URL`, one for each `--node`. */
  readonly node?: readonly string[] | undefined;
  readonly listen?: string | undefined;
  readonly admin?: string | undefined;
  readonly grpc?: string | undefined;
  readonly stateDir?: string | undefined;
  readonly logLevel?: string | undefined;
  readonly logFormat?: string | undefined;
  readonly envoyPath?: string | undefined;
  readonly redis?: string | undefined;
  readonly agents?: string | undefined;
  readonly profile?: string | undefined;
  readonly grpcTls?: string | undefined;
  readonly health?: string | undefined;
  /** `KIND[:DETAIL]`, one for each `--discover`. */
  readonly discover?: readonly string[] | undefined;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** A setting from outside the file, and the name by which people know where it comes from. */
export interface Override {
  readonly path: Path;
  readonly value: unknown;
  readonly source: string;
}

const FLAGS: readonly [key: keyof ConfigFlags, option: string, path: Path][] = [
  ['node', '--node', ['nodes']],
  ['listen', '--listen', ['listen']],
  ['admin', '--admin', ['admin']],
  ['grpc', '--grpc', ['grpc']],
  ['stateDir', '--state-dir', ['stateDir']],
  ['logLevel', '--log-level', ['log', 'level']],
  ['logFormat', '--log-format', ['log', 'format']],
  ['envoyPath', '--envoy', ['envoy', 'path']],
  ['redis', '--redis', ['store', 'url']],
  ['agents', '--agents', ['agents', 'listen']],
  ['profile', '--profile', ['extProc', 'profile']],
  ['grpcTls', '--grpc-tls', ['extProc', 'tls']],
  ['health', '--health', ['extProc', 'health']],
  ['discover', '--discover', ['discovery', 'sources']],
];

const NUMBERS = new Set([
  'poll.jitter',
  'health.downAfter',
  'routing.maxAttempts',
  'envoy.concurrency',
  'agents.maxNodes',
  'discovery.maxNodes',
  'waiting.maxRequests',
  'rewrites.numCtxMax',
  'rewrites.preloadsPerMinute',
  'extProc.minEndpoints',
]);
const BOOLEANS = new Set([
  'responseHeaders',
  'store.tls',
  'agents.allowLoopback',
  'waiting.trustHeaders',
  'extProc.testSelection',
]);
/** What names a file starts where the program does, not where the configuration file lies. */
const FILES = new Set([
  'adminTokenFile',
  'store.passwordFile',
  'store.tlsCa',
  'agents.joinTokenFile',
  'agents.tlsCert',
  'agents.tlsKey',
  'decisions.record',
  'extProc.tlsCert',
  'extProc.tlsKey',
]);
/** How each entry of a list is written, separated by blanks or commas. */
const LISTS: Readonly<Record<string, (word: string) => unknown>> = {
  nodes: parseNodeFlag,
  origins: (word) => word,
  replicas: (word) => word,
  'store.sentinels': parseEndpointFlag,
  'store.clusterNodes': parseEndpointFlag,
  'discovery.sources': parseSource,
  'rewrites.numCtxBuckets': numberOr,
};
/** What has names of its own: each is written NAME=VALUE, separated by blanks. */
const MAPS: Readonly<Record<string, (value: string) => unknown>> = {
  models: (value) => value.split(',').filter((model) => model !== ''),
  'waiting.classes': (value) => value,
  'extProc.objectives': (value) => value,
};
const SECTIONS = [
  'poll',
  'health',
  'routing',
  'limits',
  'log',
  'envoy',
  'store',
  'agents',
  'discovery',
  'waiting',
  'rewrites',
  'decisions',
  'extProc',
];

/** Every environment variable that is read, with the setting that it sets: WARMPATH_POLL_INTERVAL is poll.interval. */
export const ENVIRONMENT: ReadonlyMap<string, Path> = new Map(
  [
    ...(KNOWN_KEYS.get('') ?? []).filter((key) => !SECTIONS.includes(key)).map((key): Path => [key]),
    ...SECTIONS.flatMap((section) => (KNOWN_KEYS.get(section) ?? []).map((key): Path => [section, key])),
  ].map((path) => [variableName(path), path]),
);

/** Shorter names of some. The full name wins. */
export const SHORT_NAMES: ReadonlyMap<string, Path> = new Map([
  ['WARMPATH_REDIS', ['store', 'url']],
  ['WARMPATH_JOIN_TOKEN', ['agents', 'joinToken']],
]);

/** What the environment and the flags set, in the order in which they apply: the last one wins. */
export function readOverrides(env: Environment, flags: ConfigFlags): Override[] {
  const overrides: Override[] = [];
  for (const [source, path] of [...SHORT_NAMES, ...ENVIRONMENT]) {
    const text = env[source]?.trim();
    if (text !== undefined && text !== '') overrides.push({ path, value: fromText(path, text), source });
  }
  for (const [key, source, path] of FLAGS) {
    const value = flags[key];
    if (value === undefined) continue;
    const entry = LISTS[path.join('.')];
    overrides.push({
      path,
      value: typeof value === 'string' ? value : value.map((word) => entry?.(word)),
      source,
    });
  }
  return overrides;
}

/** The value that the schema expects, from a variable's text; left as text where it does not look right. */
function fromText(path: Path, text: string): unknown {
  const key = path.join('.');
  const entry = LISTS[key];
  if (entry !== undefined) return words(text).map(entry);
  // Not at commas: a key may have them.
  if (key === 'clients') return text.split(/\s+/).map(parseClientFlag);
  const entryOfMap = MAPS[key];
  if (entryOfMap !== undefined) return parseMap(text, entryOfMap);
  if (FILES.has(key)) return resolve(text);
  if (BOOLEANS.has(key))
    return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : text;
  if (NUMBERS.has(key) && /^\d{1,9}(?:\.\d{1,9})?$/.test(text)) return Number(text);
  return text;
}

function numberOr(word: string): unknown {
  return /^\d{1,10}$/.test(word) ? Number(word) : word;
}

function parseSource(word: string): unknown {
  const source = parseDiscoverFlag(word);
  return source.path === undefined || source.path === '' ? source : { ...source, path: resolve(source.path) };
}

function words(text: string): string[] {
  return text.split(/[\s,]+/).filter((word) => word !== '');
}

function variableName(path: Path): string {
  const words = path.map((part) => String(part).replace(/[A-Z]/g, (letter) => `_${letter}`));
  return `WARMPATH_${words.join('_').toUpperCase()}`;
}
