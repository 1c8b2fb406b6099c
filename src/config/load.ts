import { homedir, networkInterfaces } from 'node:os';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import type { NodeSpec } from '../fleet/types.ts';
import type { Config } from './config.ts';
import { crossCheck, listenersOf, readPartial } from './cross-check.ts';
import { type ConfigFlags, type Environment, type Override, readOverrides } from './overrides.ts';
import { ConfigError, describeIssues, formatPath, MAX_PROBLEMS, type Path, type Problem } from './problem.ts';
import { readBounded } from './read-bounded.ts';
import { expandTokens, type NodeExtras, resolveNodes } from './resolve-nodes.ts';
import { type NodeInput, settingsSchema } from './schema.ts';
import { parseYaml, type YamlDocument } from './yaml-document.ts';

/** Room for 10,000 nodes; a file beyond it is a mistake. */
export const MAX_FILE_BYTES = 1024 * 1024;

export interface LoadOptions {
  /** The configuration file; where not given, WARMPATH_CONFIG; where neither is, there is none. */
  readonly file?: string | undefined;
  readonly env: Environment;
  readonly flags?: ConfigFlags;
  /** Addresses of this machine; for tests. */
  readonly localIps?: readonly string[];
}

export interface LoadedConfig {
  readonly config: Config;
  /** Where each setting that is not a default comes from: `listen` → `--listen`, `poll` → `warmpath.yaml:7:1`. */
  readonly sources: ReadonlyMap<string, string>;
  /** Every file that was read, absolute: the configuration, token files, CAs. */
  readonly files: readonly string[];
}

/** Reads file, environment and flags; flags win over the environment, that over the file. Throws ConfigError. */
export async function loadConfig(options: LoadOptions): Promise<LoadedConfig> {
  const { env, flags = {} } = options;
  const fileOption = options.file ?? (env.WARMPATH_CONFIG?.trim() || undefined);
  const file = fileOption === undefined ? undefined : resolve(fileOption);
  const document = file === undefined ? undefined : await readFile(file);
  const overrides = readOverrides(env, flags);
  const base = document === undefined ? {} : asSettings(document.value);
  const places = new Places(file, document, overrides);

  const problems: Problem[] = [];
  if (base === undefined) problems.push({ path: [], message: 'expected a section of KEY: VALUE' });
  const merged = merge(base ?? {}, overrides);
  const expanded = Array.isArray(merged.nodes)
    ? expandTokens(merged.nodes, env)
    : { nodes: [], problems: [] };
  const raw = Array.isArray(merged.nodes) ? { ...merged, nodes: expanded.nodes } : merged;
  const parsed = settingsSchema.safeParse(raw, { reportInput: true });
  if (!parsed.success) problems.push(...describeIssues(parsed.error));

  const stateDir = resolve(typeof raw.stateDir === 'string' ? raw.stateDir : defaultStateDir(env));
  const partial = readPartial(raw, stateDir);
  const nodes = await resolveNodes(expanded.nodes, {
    baseDir: file === undefined ? process.cwd() : dirname(file),
    listeners: listenersOf(partial).map(([, listener]) => listener),
    localIps: options.localIps ?? interfaceAddresses(),
  });
  problems.push(...crossCheck(raw, partial), ...expanded.problems, ...nodes.problems);
  if (problems.length > 0 || !parsed.success) throw new ConfigError(places.name, places.lines(problems));

  const config: Config = {
    ...parsed.data,
    stateDir,
    nodes: parsed.data.nodes.map((node, index) => toSpec(node, nodes.extras[index])),
  };
  return {
    config,
    sources: places.sources(base ?? {}),
    files: file === undefined ? nodes.files : [file, ...nodes.files],
  };
}

async function readFile(file: string): Promise<YamlDocument> {
  let text: string;
  try {
    text = await readBounded(file, MAX_FILE_BYTES);
  } catch (error) {
    throw new ConfigError(basename(file), [
      `${file} ${error instanceof Error ? error.message : 'cannot be read'}`,
    ]);
  }
  const document = parseYaml(text);
  if (document.problems.length === 0) return document;
  throw new ConfigError(
    basename(file),
    document.problems.map(({ line, column, message }) => `${basename(file)}:${line}:${column} ${message}`),
  );
}

/** An empty file is a valid one; a section with nothing in it counts as absent. */
function asSettings(value: unknown): Record<string, unknown> | undefined {
  if (value === null || value === undefined) return {};
  if (typeof value !== 'object' || Array.isArray(value)) return undefined;
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== null));
}

function merge(
  base: Readonly<Record<string, unknown>>,
  overrides: readonly Override[],
): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...base };
  for (const { path, value } of overrides) {
    const [first, second] = path.map(String);
    if (first === undefined) continue;
    if (second === undefined) {
      merged[first] = value;
      continue;
    }
    const section = merged[first] ?? {};
    // A section that is no section stays as it is, so that it is reported as such.
    if (typeof section === 'object' && !Array.isArray(section))
      merged[first] = { ...section, [second]: value };
  }
  return merged;
}

function toSpec(node: NodeInput, extras: NodeExtras | undefined): NodeSpec {
  return {
    id: extras?.name ?? '',
    url: node.url,
    token: extras?.token,
    tlsCaFile: extras?.tlsCaFile,
    slots: node.slots,
    vramBytes: node.vram,
    labels: node.labels,
    weight: node.weight,
    drain: node.drain,
  };
}

/** Knows where each setting was written. */
class Places {
  readonly name: string;
  readonly #label: string;
  readonly #document: YamlDocument | undefined;
  readonly #overrides: ReadonlyMap<string, Override>;

  constructor(file: string | undefined, document: YamlDocument | undefined, overrides: readonly Override[]) {
    this.#label = file === undefined ? '' : basename(file);
    this.name = file !== undefined && overrides.length === 0 ? this.#label : 'the configuration';
    this.#document = document;
    this.#overrides = new Map(overrides.map((override) => [override.path.join('.'), override]));
  }

  /** One line for each problem, in the order of the file; what comes from elsewhere stands last. */
  lines(problems: readonly Problem[]): string[] {
    const lines = problems
      .slice(0, MAX_PROBLEMS)
      .map((problem) => {
        const override = this.#overrideOf(problem.path);
        const text = `${formatPath(problem.path)}: ${problem.message}`;
        if (override !== undefined) return { line: Infinity, column: 0, text: `${override.source} ${text}` };
        const position = this.#document?.locate(problem.path, problem.atKey);
        if (position === undefined) return { line: Infinity, column: 0, text };
        return { ...position, text: `${this.#label}:${position.line}:${position.column} ${text}` };
      })
      .sort((a, b) => (a.line === b.line ? a.column - b.column : a.line - b.line))
      .map(({ text }) => text);
    return problems.length > MAX_PROBLEMS ? [...lines, '… and more'] : lines;
  }

  sources(base: Readonly<Record<string, unknown>>): Map<string, string> {
    const sources = new Map<string, string>();
    for (const key of Object.keys(base)) {
      const position = this.#document?.locate([key], true);
      if (position !== undefined) sources.set(key, `${this.#label}:${position.line}:${position.column}`);
    }
    for (const [path, override] of this.#overrides) sources.set(path, override.source);
    return sources;
  }

  #overrideOf(path: Path): Override | undefined {
    const [first, second] = path;
    return this.#overrides.get(`${first}.${second}`) ?? this.#overrides.get(String(first));
  }
}

function defaultStateDir(env: Environment): string {
  const home = env.HOME && isAbsolute(env.HOME) ? env.HOME : homedir();
  const base =
    env.XDG_STATE_HOME && isAbsolute(env.XDG_STATE_HOME) ? env.XDG_STATE_HOME : join(home, '.local', 'state');
  return join(base, 'warmpath');
}

function interfaceAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap(
    (addresses) => addresses?.map(({ address }) => address) ?? [],
  );
}
