import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { interfaceAddresses } from '../app/interface-addresses.ts';
import type { NodeSpec } from '../fleet/types.ts';
import type { Config } from './config.ts';
import { crossCheck, listenersOf, readPartial } from './cross-check.ts';
import { expandVariables } from './expand.ts';
import { type ConfigFlags, type Environment, type Override, readOverrides } from './overrides.ts';
import { ConfigError, describeIssues, formatPath, MAX_PROBLEMS, type Path, type Problem } from './problem.ts';
import { readBounded } from './read-bounded.ts';
import { secretOf } from './read-secret.ts';
import { GUARD_TOKEN_RULE, resolveAgents } from './resolve-agents.ts';
import { resolveClientKeys, toClients } from './resolve-clients.ts';
import { checkDiscovery, resolveSource } from './resolve-discovery.ts';
import { resolveExtProc, settledExtProc } from './resolve-ext-proc.ts';
import { expandTokens, type NodeExtras, resolveNodes } from './resolve-nodes.ts';
import { resolveStore } from './resolve-store.ts';
import { type Settings, settingsSchema } from './schema.ts';
import type { NodeInput } from './schema-nodes.ts';
import { asRecord, SectionContext } from './section-context.ts';
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
  const baseDir = file === undefined ? process.cwd() : dirname(file);
  const context = new SectionContext(baseDir, (path) => places.overrideOf(path) !== undefined);
  const merged = expandSecrets(merge(base ?? {}, overrides), env, context);
  const expanded = Array.isArray(merged.nodes)
    ? expandTokens(merged.nodes, env)
    : { nodes: [], problems: [] };
  const raw = Array.isArray(merged.nodes) ? { ...merged, nodes: expanded.nodes } : merged;
  const parsed = settingsSchema.safeParse(raw, { reportInput: true });
  if (!parsed.success) problems.push(...describeIssues(parsed.error));

  const stateDir = resolve(typeof raw.stateDir === 'string' ? raw.stateDir : defaultStateDir(env));
  const partial = readPartial(raw, stateDir);
  const nodes = await resolveNodes(expanded.nodes, {
    baseDir,
    listeners: listenersOf(partial).map(([, listener]) => listener),
    localIps: options.localIps ?? interfaceAddresses(),
  });
  const store = await resolveStore(raw.store, env, context);
  const agents = await resolveAgents(raw.agents, context);
  const extProc = await resolveExtProc(raw, context);
  const adminToken = await secretOf(raw, [], 'adminToken', GUARD_TOKEN_RULE, context);
  const clientKeys = await resolveClientKeys(raw.clients, context);
  checkDiscovery(raw.discovery, context);
  problems.push(...crossCheck(raw, partial), ...expanded.problems, ...nodes.problems, ...context.problems);
  if (problems.length > 0 || !parsed.success) throw new ConfigError(places.name, places.lines(problems));

  const { adminTokenFile: _a, ...settings } = parsed.data;
  const { passwordFile: _b, ...storeSettings } = settings.store;
  const { joinTokenFile: _c, ...agentSettings } = settings.agents;
  const { discovery } = settings;
  const config: Config = {
    ...settings,
    stateDir,
    nodes: settings.nodes.map((node, index) => toSpec(node, nodes.extras[index])),
    store: { ...storeSettings, ...store },
    agents: { ...agentSettings, ...agents },
    ...settledExtProc(parsed.data, extProc),
    clients: toClients(settings.clients, clientKeys),
    decisions: resolveDecisions(settings.decisions, context),
    discovery: { ...discovery, sources: discovery.sources.map((source) => resolveSource(source, context)) },
    ...(adminToken === undefined ? {} : { adminToken }),
  };
  return {
    config,
    sources: places.sources(base ?? {}),
    files: [...(file === undefined ? [] : [file]), ...nodes.files, ...context.files],
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

/** Replaces `${VAR}` in the secrets of the file; what comes from the environment is taken as it is. */
function expandSecrets(
  merged: Readonly<Record<string, unknown>>,
  env: Environment,
  context: SectionContext,
): Record<string, unknown> {
  const result: Record<string, unknown> = { ...merged };
  const expand = (path: Path, value: unknown): unknown =>
    typeof value !== 'string' || context.isOverridden(path)
      ? value
      : expandVariables(value, env, (message) => context.fail(path, message));
  for (const [section, key] of [
    ['store', 'password'],
    ['agents', 'joinToken'],
  ] as const) {
    const fields = asRecord(merged[section]);
    if (key in fields) result[section] = { ...fields, [key]: expand([section, key], fields[key]) };
  }
  if (Array.isArray(merged.clients))
    result.clients = merged.clients.map((client: unknown, index) => {
      const fields = asRecord(client);
      return 'key' in fields ? { ...fields, key: expand(['clients', index, 'key'], fields.key) } : client;
    });
  if ('adminToken' in merged) result.adminToken = expand(['adminToken'], merged.adminToken);
  return result;
}

function resolveDecisions(decisions: Settings['decisions'], context: SectionContext): Config['decisions'] {
  const record = context.pathOf(decisions.record);
  return record === undefined ? decisions : { ...decisions, record };
}

export function toSpec(node: NodeInput, extras: NodeExtras | undefined): NodeSpec {
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
    gpuMetrics:
      node.gpuMetrics === undefined
        ? undefined
        : {
            url: node.gpuMetrics.url,
            match: node.gpuMetrics.match,
            intervalMs: node.gpuMetrics.interval,
          },
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
        const override = this.overrideOf(problem.path);
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

  /** The variable or flag that sets what stands at `path`. */
  overrideOf(path: Path): Override | undefined {
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
