import { expect, it } from 'vitest';
import { parseRecordedLine, type RecordedRequest } from '../../../src/app/decision-record.ts';

const line: RecordedRequest = {
  at: '2026-01-01T00:00:00.000Z',
  id: 'r-1',
  path: '/api/chat',
  model: 'gpt-4o:latest',
  target: 'qwen3:32b',
  bodyBytes: 900,
  promptBytes: 700,
  images: 0,
  numCtx: 8_192,
  class: 'normal',
  caller: 'c0ffee',
  prefixes: [{ hash: 17, bytes: 300 }],
  waitedMs: 0,
  node: 'gpu1',
  reason: 'warm_idle',
  predictedFirstTokenMs: 120,
  predictedCompletionMs: 2_000,
  end: 'complete',
  status: 200,
  attempts: 1,
  firstByteMs: 100,
  totalMs: 2_100,
  promptTokens: 200,
  completionTokens: 90,
};

it('reads a line of a recording back as it was written', () => {
  expect(parseRecordedLine(JSON.stringify(line))).toEqual(line);
});

it('reads what a later version adds as if it were not there', () => {
  expect(parseRecordedLine(JSON.stringify({ ...line, mood: 'fine' }))).toEqual(line);
});

it.each([
  ['a line cut off by a crash', JSON.stringify(line).slice(0, 80)],
  ['an unknown end', JSON.stringify({ ...line, end: 'odd' })],
  ['a negative time', JSON.stringify({ ...line, totalMs: -1 })],
  ['something else', '[]'],
  ['nothing', ''],
])('takes no line for a request that is %s', (_, text) => {
  expect(parseRecordedLine(text)).toBeUndefined();
});
