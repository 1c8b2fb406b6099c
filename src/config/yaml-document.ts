import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import type { Path } from './problem.ts';
import { shown } from './shown.ts';

/** A line longer than any real one: the YAML parser needs quadratic time for some of those. */
const MAX_LINE_LENGTH = 4_096;
const MAX_ALIASES = 200;
const MAX_PROBLEMS = 20;

export interface Position {
  /** Both start at 1. */
  readonly line: number;
  readonly column: number;
}

export interface YamlProblem extends Position {
  readonly message: string;
}

/** A parsed file that still knows where each value stands. */
export interface YamlDocument {
  readonly value: unknown;
  /** Syntax errors and repeated keys; where there are any, `value` is not to be used. */
  readonly problems: readonly YamlProblem[];
  /** Where the value at `path` stands, or its key; the nearest place above it where it is missing. */
  locate(path: Path, atKey?: boolean): Position;
}

/** Parses untrusted text. Never throws; time and memory are bounded by the text's length and the bounds above. */
export function parseYaml(text: string): YamlDocument {
  const failed = (message: string, at: Position = { line: 1, column: 1 }): YamlDocument => ({
    value: undefined,
    problems: [{ message, ...at }],
    locate: () => at,
  });
  const longLine = text.split('\n').findIndex((line) => line.length > MAX_LINE_LENGTH);
  if (longLine !== -1) {
    return failed(`a line may have ${MAX_LINE_LENGTH} characters at most`, { line: longLine + 1, column: 1 });
  }
  try {
    return inspect(text);
  } catch (error) {
    if (error instanceof RangeError) return failed('is nested too deeply');
    return failed(
      `cannot be read as YAML: ${error instanceof Error ? firstLine(error.message) : 'unknown reason'}`,
    );
  }
}

function inspect(text: string): YamlDocument {
  const lineCounter = new LineCounter();
  // Repeated keys are looked for below: the library compares every pair of keys, which takes minutes on a long map.
  const document = parseDocument(text, {
    lineCounter,
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'error',
  });
  const at = (offset: number): Position => {
    const { line, col } = lineCounter.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const problems: YamlProblem[] = [...document.errors, ...document.warnings].map((error) => ({
    ...at(error.pos[0]),
    message:
      error.code === 'MULTIPLE_DOCS'
        ? 'a second document begins here; there may be one'
        : firstLine(error.message),
  }));
  if (problems.length === 0)
    findRepeatedKeys(document.contents, (offset, message) => problems.push({ ...at(offset), message }));
  let value: unknown;
  if (problems.length === 0) {
    try {
      value = document.toJS({ maxAliasCount: MAX_ALIASES });
    } catch (error) {
      problems.push({
        line: 1,
        column: 1,
        message: firstLine(error instanceof Error ? error.message : String(error)),
      });
    }
  }
  return {
    value,
    problems: problems.slice(0, MAX_PROBLEMS),
    locate: (path, atKey = false) => at(offsetOf(document, path, atKey)),
  };
}

function findRepeatedKeys(node: unknown, report: (offset: number, message: string) => void): void {
  if (isSeq(node)) for (const item of node.items) findRepeatedKeys(item, report);
  if (!isMap(node)) return;
  const seen = new Set<string>();
  for (const { key, value } of node.items) {
    const name = isScalar(key) ? String(key.value) : undefined;
    if (name !== undefined && seen.has(name))
      report(startOf(key) ?? 0, `the key ${shown(name)} stands here twice`);
    if (name !== undefined) seen.add(name);
    findRepeatedKeys(value, report);
  }
}

function offsetOf(document: Document, path: Path, atKey: boolean): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [depth, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document as Document<Node, boolean>);
    if (isSeq(node)) {
      node = node.items[Number(part)];
    } else if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part));
      if (pair === undefined) return offset;
      offset = startOf(pair.key) ?? offset;
      if (atKey && depth === path.length - 1) return offset;
      node = pair.value;
    } else {
      return offset;
    }
    offset = startOf(node) ?? offset;
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  const range = (node as { readonly range?: readonly number[] | null } | null | undefined)?.range;
  return range?.[0];
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').slice(0, 200);
}
