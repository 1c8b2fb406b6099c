import { basename } from 'node:path';
import { ConfigError, describeIssues, formatPath, MAX_PROBLEMS, type Problem } from '../../config/problem.ts';
import { readBounded } from '../../config/read-bounded.ts';
import { parseYaml } from '../../config/yaml-document.ts';
import type { SimNodeSpec } from '../../simulate/types.ts';
import type { Arrivals, Workload } from '../../simulate/workload-types.ts';
import { WORKLOAD_KEYS, type WorkloadInput, workloadSchema } from './workload-schema.ts';

const MAX_FILE_BYTES = 1024 * 1024;
const MAX_NODES = 1_000;

/** Reads a workload from YAML. Throws ConfigError with every problem and its place. */
export async function readWorkload(path: string): Promise<Workload> {
  const label = basename(path);
  let text: string;
  try {
    text = await readBounded(path, MAX_FILE_BYTES);
  } catch (error) {
    throw new ConfigError(label, [`${path} ${error instanceof Error ? error.message : 'cannot be read'}`]);
  }
  return parseWorkload(text, label);
}

export function parseWorkload(text: string, label: string): Workload {
  const document = parseYaml(text);
  if (document.problems.length > 0) {
    throw new ConfigError(
      label,
      document.problems.map(({ line, column, message }) => `${label}:${line}:${column} ${message}`),
    );
  }
  const parsed = workloadSchema.safeParse(document.value, { reportInput: true });
  const problems = parsed.success ? crossCheck(parsed.data) : describeIssues(parsed.error, WORKLOAD_KEYS);
  if (parsed.success && problems.length === 0) return toWorkload(parsed.data, label.replace(/\.ya?ml$/, ''));
  const lines = problems.slice(0, MAX_PROBLEMS).map((problem) => {
    const { line, column } = document.locate(problem.path, problem.atKey);
    return {
      line,
      column,
      text: `${label}:${line}:${column} ${formatPath(problem.path)}: ${problem.message}`,
    };
  });
  lines.sort((a, b) => a.line - b.line || a.column - b.column);
  throw new ConfigError(
    label,
    lines.map((line) => line.text),
  );
}

/** What no single value shows: names that nothing has, or that two have. */
function crossCheck({ nodes, models, streams, events }: WorkloadInput): Problem[] {
  const problems: Problem[] = [];
  const known = new Set(models.map((model) => model.name));
  const nodeIds = new Set(nodes.flatMap(idsOf));
  const repeated = (section: string, names: readonly string[]): void => {
    for (const [index, name] of names.entries())
      if (names.indexOf(name) < index)
        problems.push({ path: [section, index, 'name'], message: `the name ${name} stands twice` });
  };
  repeated(
    'nodes',
    nodes.map(({ name }) => name),
  );
  repeated(
    'models',
    models.map(({ name }) => name),
  );
  repeated(
    'streams',
    streams.map(({ name }) => name),
  );
  if (nodeIds.size > MAX_NODES)
    problems.push({ path: ['nodes'], message: `come to more than ${MAX_NODES} nodes` });
  for (const [index, node] of nodes.entries())
    for (const [place, model] of (node.models ?? []).entries())
      if (!known.has(model))
        problems.push({ path: ['nodes', index, 'models', place], message: `${model} is not among "models"` });
  for (const [index, stream] of streams.entries()) {
    for (const { value } of stream.models)
      if (!known.has(value))
        problems.push({ path: ['streams', index, 'models'], message: `${value} is not among "models"` });
    if (!stream.models.some(({ weight }) => weight > 0))
      problems.push({ path: ['streams', index, 'models'], message: 'no model has a weight above 0' });
    if (stream.arrivals.kind === 'bursts' && stream.arrivals.on === 0)
      problems.push({ path: ['streams', index, 'arrivals', 'on'], message: 'must be longer than 0s' });
  }
  for (const [index, { node }] of events.entries())
    if (!nodeIds.has(node))
      problems.push({ path: ['events', index, 'node'], message: `${node} is not among "nodes"` });
  return problems;
}

function toWorkload(input: WorkloadInput, name: string): Workload {
  const everything = input.models.map((model) => model.name);
  return {
    name: input.name ?? name,
    about: input.about,
    durationMs: input.duration,
    nodes: input.nodes.flatMap((node) => idsOf(node).map((id) => toNode(id, node, everything))),
    models: input.models.map(({ name: key, size, kvPerToken, context, maxContext }) => ({
      key,
      sizeBytes: size,
      kvBytesPerToken: kvPerToken,
      defaultContext: context,
      ...(maxContext === undefined ? {} : { maxContext }),
    })),
    streams: input.streams.map(({ arrivals, from, until, maxWait, patience, ...stream }) => ({
      ...stream,
      arrivals: toArrivals(arrivals),
      fromMs: from,
      untilMs: until,
      maxWaitMs: maxWait,
      patienceMs: patience,
    })),
    events: input.events,
  };
}

function toArrivals(arrivals: WorkloadInput['streams'][number]['arrivals']): Arrivals {
  switch (arrivals.kind) {
    case 'poisson':
      return arrivals;
    case 'bursts':
      return { kind: 'bursts', perSecond: arrivals.perSecond, onMs: arrivals.on, offMs: arrivals.off };
    case 'once':
      return { kind: 'once', atMs: arrivals.at, count: arrivals.count };
    case 'sessions': {
      const { median, spread, min, max } = arrivals.thinkSeconds;
      const think = { median: median * 1000, spread, min: min * 1000, max: max * 1000 };
      return { kind: 'sessions', perSecond: arrivals.perSecond, turns: arrivals.turns, think };
    }
  }
}

function toNode(
  id: string,
  node: WorkloadInput['nodes'][number],
  everything: readonly string[],
): SimNodeSpec {
  const { vram, parallel, maxLoadedModels, loadRate, promptRate, answerRate, rtt, tellsVram, tellsSlots } =
    node;
  const { loadStart, maxQueue, keepAlive, batchCost, contention } = node;
  return {
    id,
    vramBytes: vram,
    parallel,
    maxLoadedModels,
    loadBytesPerSecond: loadRate,
    promptTokensPerSecond: promptRate,
    answerTokensPerSecond: answerRate,
    rttMs: rtt,
    models: node.models ?? everything,
    tellsVram,
    tellsSlots,
    ...(loadStart === undefined ? {} : { loadStartMs: loadStart }),
    ...(maxQueue === undefined ? {} : { maxQueue }),
    ...(keepAlive === undefined ? {} : { keepAliveMs: keepAlive }),
    ...(batchCost === undefined ? {} : { batchCost }),
    ...(contention === undefined ? {} : { contention }),
  };
}

function idsOf({ name, count }: WorkloadInput['nodes'][number]): string[] {
  return count === undefined ? [name] : Array.from({ length: count }, (_, index) => `${name}-${index + 1}`);
}
