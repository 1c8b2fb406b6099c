import type { Path } from './problem.ts';
import { readBounded } from './read-bounded.ts';
import { asRecord, type SectionContext } from './section-context.ts';

const MAX_SECRET_FILE_BYTES = 16 * 1024;

export interface SecretRule {
  readonly pattern: RegExp;
  /** What the file must hold, as the end of "the file must hold". */
  readonly what: string;
}

/** Visible ASCII without blanks: what a header carries. */
export const TOKEN_RULE: SecretRule = {
  pattern: /^[\x21-\x7e]{1,4096}$/,
  what: 'one token of visible ASCII characters',
};

/** Reads a secret from a file, without the line end that editors leave. Its content appears in no problem. */
export async function readSecret(
  path: string,
  { pattern, what }: SecretRule,
): Promise<{ readonly secret: string } | { readonly problem: string }> {
  try {
    const secret = (await readBounded(path, MAX_SECRET_FILE_BYTES)).trim();
    return pattern.test(secret) ? { secret } : { problem: `the file must hold ${what}` };
  } catch (error) {
    return { problem: `the file ${error instanceof Error ? error.message : 'cannot be read'}` };
  }
}

/** The secret under `key` or in the file that `<key>File` names; both at once are a problem. */
export async function secretOf(
  section: unknown,
  at: Path,
  key: string,
  rule: SecretRule,
  context: SectionContext,
): Promise<string | undefined> {
  const fields = asRecord(section);
  const given = fields[key];
  const file = context.pathOf(fields[`${key}File`]);
  if (file === undefined) return typeof given === 'string' ? given : undefined;
  const path = [...at, `${key}File`];
  if (given !== undefined) context.fail(path, `stands beside "${key}"; give one of them`);
  const read = await readSecret(context.noteFile(file), rule);
  if ('secret' in read) return read.secret;
  context.fail(path, read.problem);
  return undefined;
}
