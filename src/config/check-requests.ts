import { aliasesFrom } from '../routing/aliases.ts';
import type { Problem } from './problem.ts';
import { settingsKeys } from './schema.ts';

/** Problems between settings of what becomes of requests, each valid by itself. */
export function checkRequests(raw: Readonly<Record<string, unknown>>): Problem[] {
  const problems: Problem[] = [];
  const rewrites = settingsKeys.rewrites.safeParse(raw.rewrites).data;
  if (rewrites !== undefined) {
    const fail = (key: string, message: string, index?: number): void =>
      void problems.push({ path: ['rewrites', key, ...(index === undefined ? [] : [index])], message });
    const { keepAliveMin, keepAliveMax, numCtxBuckets, numCtxMax } = rewrites;
    if (keepAliveMin !== undefined && keepAliveMin > keepAliveMax)
      fail('keepAliveMin', 'must not be longer than rewrites.keepAliveMax');
    for (const [index, bucket] of numCtxBuckets.entries()) {
      const before = numCtxBuckets[index - 1];
      if (before !== undefined && bucket <= before)
        fail('numCtxBuckets', `must be larger than ${before} before it: buckets ascend`, index);
      if (numCtxMax !== undefined && bucket > numCtxMax)
        fail('numCtxBuckets', `is larger than rewrites.numCtxMax, ${numCtxMax}`, index);
    }
  }
  const models = settingsKeys.models.safeParse(raw.models).data;
  for (const { name, message } of models === undefined ? [] : aliasesFrom(models).problems)
    problems.push({ path: ['models', name], message, atKey: true });
  return problems;
}
