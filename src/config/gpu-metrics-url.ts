import * as z from 'zod';
import { parseNodeUrl } from './node-url.ts';

const EXPECTED = 'expected a URL such as "http://gpu1:9400/metrics"';

/** Where a node's GPU figures are read: any path, but hosts and addresses under the same rules as nodes. */
export const gpuMetricsUrl = z.string(EXPECTED).transform((value, context): string => {
  const problem = problemOf(value);
  if (problem === undefined) return value;
  // A URL may hold a password that does not belong there: it is not quoted.
  context.issues.push({ code: 'custom', message: problem, input: value });
  return z.NEVER;
});

function problemOf(value: string): string | undefined {
  if (value.length > 1_000) return 'is too long';
  const match = /^([^/?#\s\\]+:\/\/[^/?#\s\\]*)([/?][\x21-\x22\x24-\x5b\x5d-\x7e]*)?$/.exec(value);
  if (match === null || !URL.canParse(value)) return EXPECTED;
  const result = parseNodeUrl(match[1] ?? '');
  if (!('problem' in result)) return undefined;
  return result.problem.startsWith('must not hold a user')
    ? 'must not hold a user or password'
    : result.problem;
}
