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
];

const NUMBERS = new Set(['poll.jitter', 'health.downAfter', 'routing.maxAttempts', 'envoy.concurrency']);
const SECTIONS = ['poll', 'health', 'routing', 'limits', 'log', 'envoy'];

/** Every environment variable that is read, with the setting that it sets: WARMPATH_POLL_INTERVAL is poll.interval. */
export const ENVIRONMENT: ReadonlyMap<string, Path> = new Map(
  [
    ...(KNOWN_KEYS.get('') ?? []).filter((key) => !SECTIONS.includes(key)).map((key): Path => [key]),
    ...SECTIONS.flatMap((section) => (KNOWN_KEYS.get(section) ?? []).map((key): Path => [section, key])),
  ].map((path) => [variableName(path), path]),
);

/** What the environment and the flags set, in the order in which they apply: the last one wins. */
export function readOverrides(env: Environment, flags: ConfigFlags): Override[] {
  const overrides: Override[] = [];
  for (const [source, path] of ENVIRONMENT) {
    const text = env[source]?.trim();
    if (text !== undefined && text !== '') overrides.push({ path, value: fromText(path, text), source });
  }
  for (const [key, source, path] of FLAGS) {
    const value = flags[key];
    if (value === undefined) continue;
    overrides.push({ path, value: typeof value === 'string' ? value : value.map(parseNodeFlag), source });
  }
  return overrides;
}

/** The value that the schema expects, from a variable's text; left as text where it does not look right. */
function fromText(path: Path, text: string): unknown {
  const key = path.join('.');
  if (key === 'nodes') return words(text).map(parseNodeFlag);
  if (key === 'origins') return words(text);
  if (key === 'responseHeaders')
    return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : text;
  if (NUMBERS.has(key) && /^\d{1,9}(?:\.\d{1,9})?$/.test(text)) return Number(text);
  return text;
}

function words(text: string): string[] {
  return text.split(/[\s,]+/).filter((word) => word !== '');
}

function variableName(path: Path): string {
  const words = path.map((part) => String(part).replace(/[A-Z]/g, (letter) => `_${letter}`));
  return `WARMPATH_${words.join('_').toUpperCase()}`;
}
