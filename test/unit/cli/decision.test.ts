import { expect, it } from 'vitest';
import type { AdminSource } from '../../../src/api/admin-source.ts';
import type { DecisionRecord } from '../../../src/app/types.ts';
import { runExplainDecision } from '../../../src/cli/explain.ts';
import { aDecision, aSource } from '../api/fake-source.ts';
import { anOutcome } from '../app/outcomes.ts';
import { aFakeIo, FakeOutput, fetchFrom } from './fake-io.ts';

const ask = { url: 'http://127.0.0.1:9411', decision: 'r1-7', json: false };

const ranked = {
  id: 'gpu1',
  address: '10.0.0.1:11434',
  seconds: 0.5,
  firstTokenSeconds: 0.4,
  completionSeconds: 3.4,
  heldSeconds: 3.4,
  terms: { roundTrip: 0.001, slotWait: 0, load: 0, prompt: 0.4, answer: 3, eviction: 0, trust: 0 },
  reason: 'warm_idle',
  isWarm: true,
  startsNow: true,
  cachedBytes: 0,
} as const;

const { usage } = anOutcome();
const whole: DecisionRecord = aDecision('r1-7', {
  asked: 'gpt-4o:latest',
  model: 'qwen3:32b',
  caller: { id: 'chat', class: 'interactive' },
  waitedMs: 1_500,
  waitedFor: 'slots_busy',
  edits: [
    { field: 'model', to: 'qwen3:32b' },
    { field: 'option', name: 'num_gpu' },
  ],
  ranking: { nodes: [ranked, { ...ranked, id: 'gpu2' }], rejected: [{ id: 'gpu3', reason: 'down' }] },
  attempts: [
    { node: 'gpu1', result: 'reset' },
    { node: 'gpu2', result: 'served' },
  ],
  outcome: anOutcome({ totalMs: 4_000, usage: { ...usage, promptTokens: 20, completionTokens: 90 } }),
  seconds: { predictedFirstToken: 0.4, predictedCompletion: 3.4, realFirstToken: 0.5, realCompletion: 2.5 },
});

function knowing(decision: DecisionRecord | undefined, fields: Partial<AdminSource> = {}) {
  const source = aSource([], { decision: (id) => (id === decision?.id ? decision : undefined), ...fields });
  return aFakeIo({ out: new FakeOutput({ columns: 160 }), fetch: fetchFrom(source) });
}

it('tells of one request what was asked, chosen, tried, predicted and what came', async () => {
  const io = knowing(whole);
  expect(await runExplainDecision(io, ask)).toBe(0);
  expect(io.out.text).toBe(
    [
      'r1-7 at 2026-01-01T00:00:00.000Z, snapshot 1',
      'gpt-4o:latest, served by qwen3:32b on /api/chat · 120 B, 80 B of prompt',
      'asked by chat, interactive · waited 1 s: all slots were busy',
      'body changed: model set to qwen3:32b',
      'body changed: option num_gpu taken out',
      '',
      '#  NODE     COST  1ST TOKEN   END     RTT  SLOT  LOAD  PROMPT  ANSWER  EVICT  TRUST  NOW  WHY',
      '1  gpu1  0.500 s      0.400  3.40  0.0010     0     0   0.400    3.00      0      0  yes  warm, a slot is free',
      '2  gpu2  0.500 s      0.400  3.40  0.0010     0     0   0.400    3.00      0      0  yes  warm, a slot is free',
      '',
      'LEFT OUT  WHY',
      'gpu3      down',
      '',
      'attempt 1: gpu1 reset',
      'attempt 2: gpu2 served',
      'ended: complete, 200, after 4.00 s, 20 + 90 tokens',
      'first token: predicted 0.400 s, came after 0.500 s',
      'completion: predicted 3.40 s, came after 2.50 s',
      'What it followed from is no longer kept: the ranking cannot be made again.',
      '',
    ].join('\n'),
  );
});

it('tells of a request that still runs', async () => {
  const io = knowing(aDecision('r1-7'));
  expect(await runExplainDecision(io, ask)).toBe(0);
  expect(io.out.text).toContain('No attempt has ended yet.');
});

it('tells of a refused request what its client was told, and what stood against each node', async () => {
  const refusal = { code: 'no_node', message: "no node can serve 'alpha' now" } as const;
  const ranking = { nodes: [], rejected: [{ id: 'gpu1', reason: 'down' as const }] };
  const io = knowing(aDecision('r1-7', { refusal, ranking, waitedMs: 2_000 }));
  expect(await runExplainDecision(io, ask)).toBe(0);
  expect(io.out.text).toBe(
    [
      'r1-7 at 2026-01-01T00:00:00.000Z, snapshot 1',
      'alpha:latest on /api/chat · 120 B, 80 B of prompt',
      'waited 2 s',
      "refused: no_node, no node can serve 'alpha' now",
      '',
      'LEFT OUT  WHY',
      'gpu1      down',
      '',
      '',
    ].join('\n'),
  );
});

it('says why a refusal names no nodes', async () => {
  const refusal = { code: 'query_of_death', message: 'it killed two nodes' } as const;
  const io = knowing(aDecision('r1-7', { refusal }));
  await runExplainDecision(io, ask);
  expect(io.out.text).toMatch(/refused: query_of_death.*\n\nNo ranking is kept of it/);
  expect(io.out.text).not.toContain('LEFT OUT');
});

it('prints it for programs', async () => {
  const io = knowing(whole);
  await runExplainDecision(io, { ...ask, json: true });
  expect(JSON.parse(io.out.text)).toMatchObject({ id: 'r1-7', replay: 'not_kept', waitedFor: 'slots_busy' });
});

it('says that a decision is not known', async () => {
  const io = knowing(undefined);
  expect(await runExplainDecision(io, { ...ask, decision: '../status' })).toBe(1);
  expect(io.err.text).toBe('warmpath: no such decision is remembered\n');
});

it('S15: shows no escape sequence that a caller put into its name', async () => {
  const io = knowing({ ...whole, caller: { id: '\u001b[2Jevil', class: 'normal' } });
  await runExplainDecision(io, ask);
  expect(io.out.text).not.toContain('\u001b');
  expect(io.out.text).toContain('evil');
});
