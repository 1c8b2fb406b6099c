import type * as z from 'zod';
import { KNOWN_KEYS } from './schema.ts';
import { shown } from './shown.ts';
import { suggest } from './suggest.ts';

/** A file with more problems than this is not worth listing whole. */
export const MAX_PROBLEMS = 100;

export type Path = readonly (string | number)[];

/** Keys by place: the path without list indices, after a colon the `kind` that they go with. */
export type KnownKeys = ReadonlyMap<string, readonly string[]>;

/** One thing wrong with the configuration. */
export interface Problem {
  readonly path: Path;
  readonly message: string;
  /** The key itself is wrong, not what stands behind it. */
  readonly atKey?: boolean;
}

/** Why a configuration was refused: every problem, one a line, each with its place. */
export class ConfigError extends Error {
  readonly source: string;
  readonly lines: readonly string[];

  constructor(source: string, lines: readonly string[]) {
    super(`${source} is not valid:\n${lines.map((line) => `  ${line}`).join('\n')}`);
    this.name = 'ConfigError';
    this.source = source;
    this.lines = lines;
  }

  /** For logs, in which line ends would show as escapes. */
  get inOneLine(): string {
    return `${this.source} is not valid: ${this.lines.join('; ')}`;
  }
}

/** Problems as people read them, from what the schema found. `known`: the keys of each place, as KNOWN_KEYS has them. */
export function describeIssues(error: z.ZodError, known: KnownKeys = KNOWN_KEYS): Problem[] {
  return error.issues.flatMap((issue): Problem[] => {
    // Keys of a parsed document are strings and list indices: symbols cannot occur.
    const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.slice(0, MAX_PROBLEMS + 1).map((key) => ({
        path: [...path, key],
        message: unknownKey(key, path, issue.input, known),
        atKey: true,
      }));
    }
    if (issue.code === 'invalid_key') {
      return [{ path, message: issue.issues[0]?.message ?? issue.message, atKey: true }];
    }
    return [{ path, message: withInput(issue.message, issue.input, path) }];
  });
}

function unknownKey(key: string, path: Path, section: unknown, knownKeys: KnownKeys): string {
  const place = path.filter((part) => typeof part === 'string').join('.');
  const kind = typeof section === 'object' && section !== null && 'kind' in section ? section.kind : '';
  const known = knownKeys.get(place) ?? knownKeys.get(`${place}:${kind}`) ?? [];
  const meant = suggest(key, known);
  return meant === undefined
    ? `unknown key; known here: ${known.join(', ')}`
    : `unknown key; did you mean "${meant}"?`;
}

/** Settings whose value no message quotes; a URL may hold a password that does not belong there. */
const SECRETS: ReadonlySet<unknown> = new Set(['token', 'url', 'password', 'joinToken', 'adminToken', 'key']);

function withInput(message: string, input: unknown, path: Path): string {
  const isSecret = SECRETS.has(path.at(-1)) || path.at(-2) === 'clients';
  if (isSecret && typeof input !== 'object' && input !== undefined) return message;
  return message.startsWith('expected') && !message.includes(', got ')
    ? `${message}, got ${shown(input)}`
    : message;
}

/** A path as messages show it: `nodes.1.url`. Keys come from outside, so they are bounded and escaped. */
export function formatPath(path: Path): string {
  if (path.length === 0) return '(root)';
  return path
    .map((part) => (typeof part === 'number' || /^[\w.-]{1,64}$/.test(part) ? part : shown(part)))
    .join('.');
}
