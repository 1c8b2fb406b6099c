import { expect, it } from 'vitest';
import { parseTags } from '../../../src/nodes/schemas.ts';
import { SharedValues } from '../../../src/nodes/shared-values.ts';

it('hands the first of equal values out again', () => {
  const values = new SharedValues<object>();
  const first = {};
  expect(values.share('a', first)).toBe(first);
  expect(values.share('a', {})).toBe(first);
  expect(values.share('b', {})).not.toBe(first);
});

it('forgets rather than grows without bound', () => {
  const values = new SharedValues<object>();
  const first = {};
  values.share('first', first);
  for (let i = 0; i < 20_000; i += 1) values.share(`v${i}`, {});
  expect(values.share('first', {})).not.toBe(first);
});

it('two nodes with the same model share its details', () => {
  const answer = (date: string) => ({
    models: [
      { name: 'a', size: 1, digest: 'ab'.repeat(32), modified_at: date, details: { family: 'llama' } },
    ],
  });
  const [one] = parseTags(answer('2026-01-01T00:00:00Z'));
  const [other] = parseTags(answer('2026-01-02T00:00:00Z'));
  expect(other?.details).toBe(one?.details);
  expect(other?.modifiedAt).not.toBe(one?.modifiedAt);
});
