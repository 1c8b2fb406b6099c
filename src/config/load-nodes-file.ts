import { basename, dirname } from 'node:path';
import * as z from 'zod';
import type { NodeSpec } from '../fleet/types.ts';
import { MAX_FILE_BYTES, toSpec } from './load.ts';
import type { Environment } from './overrides.ts';
import { ConfigError, describeIssues, formatPath, MAX_PROBLEMS, type Problem } from './problem.ts';
import { readBounded } from './read-bounded.ts';
import { expandTokens, type NodeContext, resolveNodes } from './resolve-nodes.ts';
import { MAX_NODES, nodeSchema } from './schema-nodes.ts';
import { isSection } from './section-context.ts';
import { parseYaml } from './yaml-document.ts';

const listSchema = z.strictObject(
  {
    nodes: z.array(nodeSchema, 'expected a list of nodes').max(MAX_NODES, `has more than ${MAX_NODES} nodes`),
  },
  { error: ({ code }) => (code === 'invalid_type' ? 'expected a list of nodes' : undefined) },
);

export interface NodesFile {
  readonly nodes: readonly NodeSpec[];
  /** Files that were read beside it: tokens, CAs. */
  readonly files: readonly string[];
}

/**
 * Reads a YAML or JSON list of nodes as under `nodes`, or a section with just that key. Throws ConfigError with every
 * problem and its place.
 */
export async function loadNodesFile(
  path: string,
  { env, ...context }: Omit<NodeContext, 'baseDir'> & { readonly env: Environment },
): Promise<NodesFile> {
  const label = basename(path);
  let text: string;
  try {
    text = await readBounded(path, MAX_FILE_BYTES);
  } catch (error) {
    throw new ConfigError(label, [`${path} ${error instanceof Error ? error.message : 'cannot be read'}`]);
  }
  const document = parseYaml(text);
  if (document.problems.length > 0) {
    throw new ConfigError(
      label,
      document.problems.map(({ line, column, message }) => `${label}:${line}:${column} ${message}`),
    );
  }
  const isList = Array.isArray(document.value);
  const raw: unknown = isList ? { nodes: document.value } : document.value;
  const list = isSection(raw) && Array.isArray(raw.nodes) ? raw.nodes : undefined;
  const expanded = expandTokens(list ?? [], env);
  // What is no list stays as it is, so that it is reported as such.
  const filled = isSection(raw) && list !== undefined ? { ...raw, nodes: expanded.nodes } : raw;
  const parsed = listSchema.safeParse(filled, { reportInput: true });
  const nodes = await resolveNodes(expanded.nodes, { ...context, baseDir: dirname(path) });
  const problems: Problem[] = [...expanded.problems, ...nodes.problems];
  if (!parsed.success) problems.unshift(...describeIssues(parsed.error));
  if (problems.length > 0 || !parsed.success) {
    throw new ConfigError(
      label,
      problems.slice(0, MAX_PROBLEMS).map((problem) => {
        const place = isList ? problem.path.slice(1) : problem.path;
        const { line, column } = document.locate(place, problem.atKey);
        return `${label}:${line}:${column} ${formatPath(place)}: ${problem.message}`;
      }),
    );
  }
  return {
    nodes: parsed.data.nodes.map((node, index) => toSpec(node, nodes.extras[index])),
    files: nodes.files,
  };
}
