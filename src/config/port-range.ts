import * as z from 'zod';
import { shown } from './shown.ts';

/** As many as the source looks at. */
const MAX_PORTS = 4_096;

/** "24000-24100" in the configuration; stays a text, valid from here on. */
export const portRange = z.unknown().transform((value, context): string => {
  const problem = problemOf(value);
  // Valid, so it is a text.
  if (problem === undefined) return value as string;
  context.issues.push({ code: 'custom', message: `${problem}, got ${shown(value)}`, input: value });
  return z.NEVER;
});

function problemOf(value: unknown): string | undefined {
  const match = typeof value === 'string' ? /^(\d{1,5})-(\d{1,5})$/.exec(value) : null;
  if (match === null) return 'expected a range such as "24000-24100"';
  const [from, to] = [Number(match[1]), Number(match[2])];
  if (from < 1 || to > 65_535) return 'expected ports from 1 to 65535';
  if (from > to) return 'expected the lower port first';
  return to - from < MAX_PORTS ? undefined : `expected ${MAX_PORTS} ports at most`;
}
