import { expect, it } from 'vitest';
import { Decision } from '../../../src/app/decision-log.ts';
import { parseRecordedLine } from '../../../src/app/decision-record.ts';
import { DecisionRecorder } from '../../../src/app/decision-recorder.ts';
import type { RankedNode } from '../../../src/routing/types.ts';
import type { Caller } from '../../../src/waiting/types.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MODEL, request } from '../routing/builders.ts';
import { address, anOutcome } from './outcomes.ts';

const caller: Caller = { id: '192.0.2.7', class: 'interactive', maxWaitMs: 30_000, isPrivileged: false };
const ranked: RankedNode = {
  id: 'gpu1',
  address: address(1),
  seconds: 1,
  firstTokenSeconds: 0.25,
  completionSeconds: 4,
  heldSeconds: 4,
  terms: { roundTrip: 0, slotWait: 0, load: 0, prompt: 0.25, answer: 3.75, eviction: 0, trust: 0 },
  reason: 'warm_idle',
  isWarm: true,
  startsNow: true,
  cachedBytes: 0,
};

function aRecorder(salt = 'salt') {
  const lines: string[] = [];
  const recorder = new DecisionRecorder({
    append: (line) => lines.push(line),
    clock: new FakeClock(),
    salt: Buffer.from(salt),
  });
  return { recorder, lines, read: () => lines.map(parseRecordedLine) };
}

function aDecision(): Decision {
  return new Decision({
    id: 'd1',
    at: new Date('2026-01-01T00:00:02.000Z'),
    request: request({ promptBytes: 700, numCtx: 8_192, prefixes: [{ hash: 9, bytes: 500 }] }),
    ranking: { nodes: [ranked], rejected: [] },
    snapshotVersion: 1,
    asked: 'gpt-4o:latest',
    caller,
    waitedMs: 2_000,
  });
}

it('writes what a replay needs: arrival, features, choice, prediction and what came', () => {
  const { recorder, read } = aRecorder();
  const { usage } = anOutcome();
  recorder.ended(
    aDecision(),
    'gpu1',
    anOutcome({ usage: { ...usage, promptTokens: 180, completionTokens: 60, evalMs: 600 } }),
  );
  expect(read()).toEqual([
    {
      at: '2026-01-01T00:00:00.000Z',
      id: 'd1',
      path: '/api/chat',
      model: 'gpt-4o:latest',
      target: MODEL,
      bodyBytes: 300,
      promptBytes: 700,
      images: 0,
      numCtx: 8_192,
      class: 'interactive',
      caller: expect.stringMatching(/^[\w-]{12}$/),
      prefixes: [{ hash: 9, bytes: 500 }],
      maxWaitMs: 30_000,
      waitedMs: 2_000,
      node: 'gpu1',
      reason: 'warm_idle',
      predictedFirstTokenMs: 250,
      predictedCompletionMs: 4_000,
      end: 'complete',
      status: 200,
      attempts: 1,
      firstByteMs: 120,
      totalMs: 900,
      promptTokens: 180,
      completionTokens: 60,
      evalMs: 600,
    },
  ]);
});

it.each([
  { why: 'query_of_death', end: 'refused', code: 'query_of_death' },
  { why: 'client_gone', end: 'client_gone', code: undefined },
] as const)('writes requests that no node ever got: $why', ({ why, end, code }) => {
  const { recorder, read } = aRecorder();
  recorder.unplaced({ id: 'd1', request: request(), caller, waitedMs: 1_500, why });
  expect(read()).toMatchObject([{ end, waitedMs: 1_500, totalMs: 1_500, attempts: 0, model: MODEL }]);
  expect(read()[0]?.code).toBe(code);
});

it('tells callers apart and says not who they are, within one process only', () => {
  const { recorder, lines, read } = aRecorder();
  for (const id of ['192.0.2.7', '192.0.2.8', '192.0.2.7'])
    recorder.unplaced({
      id: 'd1',
      request: request(),
      caller: { ...caller, id },
      waitedMs: 0,
      why: 'no_node',
    });
  const [first, second, third] = read().map((line) => line?.caller);
  expect(first).toBe(third);
  expect(first).not.toBe(second);
  expect(lines.join()).not.toContain('192.0.2');
  const other = aRecorder('another salt');
  other.recorder.unplaced({ id: 'd1', request: request(), caller, waitedMs: 0, why: 'no_node' });
  expect(other.read()[0]?.caller).not.toBe(first);
});
