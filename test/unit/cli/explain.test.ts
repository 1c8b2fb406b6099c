import { expect, it } from 'vitest';
import type { Explanation } from '../../../src/api/admin-source.ts';
import { runExplain } from '../../../src/cli/explain.ts';
import { RouterError } from '../../../src/request/errors.ts';
import type { RankedNode } from '../../../src/routing/types.ts';
import { aSource } from '../api/fake-source.ts';
import { aGpu, aGpuReport, aNode } from '../api/fleet-builder.ts';
import { aFakeIo, FakeOutput, fetchFrom } from './fake-io.ts';

const ask = {
  url: 'http://127.0.0.1:9411',
  model: 'Alpha',
  numCtx: undefined,
  path: '/api/chat',
  json: false,
};

const NO_TERMS = { roundTrip: 0.0013, slotWait: 0, load: 0, prompt: 0, answer: 0, eviction: 0, trust: 0 };

function aRanked(id: string, fields: Partial<RankedNode> = {}): RankedNode {
  return {
    id,
    address: '10.0.0.1:11434',
    seconds: 0.0013,
    firstTokenSeconds: 0.0013,
    completionSeconds: 0.0013,
    heldSeconds: 0,
    terms: NO_TERMS,
    reason: 'warm_idle',
    isWarm: true,
    startsNow: true,
    cachedBytes: 0,
    ...fields,
  };
}

function explaining(ranking: Explanation['ranking'], refusal?: Explanation['refusal'], asked: string[] = []) {
  const source = aSource([], {
    explain: ({ path }) => ({
      model: 'alpha:latest',
      target: 'alpha:latest',
      path,
      refusal,
      ranking,
      waiting: 0,
    }),
  });
  return aFakeIo({ out: new FakeOutput({ columns: 160 }), fetch: fetchFrom(source, asked) });
}

it('shows the order, every term in seconds, what is expected, and who was left out', async () => {
  const io = explaining({
    nodes: [
      aRanked('gpu1', { cachedBytes: 2_048 }),
      aRanked('gpu2', {
        seconds: 12.5,
        firstTokenSeconds: 12.1,
        completionSeconds: 16.1,
        terms: {
          roundTrip: 0.001,
          slotWait: 0,
          load: 11.9,
          prompt: 0.2,
          answer: 4,
          eviction: 0.5,
          trust: 0.099,
        },
        reason: 'loads_evicting',
        isWarm: false,
        startsNow: false,
      }),
    ],
    rejected: [{ id: 'gpu3', reason: 'model_unknown' }],
  });
  expect(await runExplain(io, ask)).toBe(0);
  expect(io.out.text).toBe(
    [
      'alpha:latest on /api/chat: 2 of 3 nodes would be tried, in this order',
      '',
      '#  NODE      COST  1ST TOKEN     END     RTT  SLOT   LOAD  PROMPT  ANSWER  EVICT  TRUST  NOW  WHY',
      '1  gpu1  0.0013 s     0.0013  0.0013  0.0013     0      0       0       0      0      0  yes  warm, a slot is free, 2.0 KiB of the prompt cached',
      '2  gpu2   12.50 s      12.10   16.10  0.0010     0  11.90   0.200    4.00  0.500  0.099  no   loads, evicting another',
      '',
      'COST is what the order follows: the terms in seconds, the answer by a share of it.',
      'A request would begin at once. None waits for this model.',
      '',
      'LEFT OUT  WHY',
      'gpu3      does not have the model',
      '',
    ].join('\n'),
  );
});

it('says that a request would wait, and how many do', async () => {
  const ranking = { nodes: [aRanked('gpu1', { startsNow: false, reason: 'warm_busy' })], rejected: [] };
  const source = aSource([], {
    explain: ({ path }) => ({
      model: 'alpha:latest',
      target: 'alpha:latest',
      path,
      refusal: undefined,
      ranking,
      waiting: 3,
    }),
  });
  const io = aFakeIo({ fetch: fetchFrom(source) });
  await runExplain(io, ask);
  expect(io.out.text).toContain(
    'A request would wait in the line: no slot is free for it now. 3 requests wait for this model.',
  );
});

it('names the model that serves an alias', async () => {
  const ranking = { nodes: [aRanked('gpu1')], rejected: [] };
  const source = aSource([], {
    explain: ({ path }) => ({
      model: 'gpt-4o:latest',
      target: 'qwen3:32b',
      path,
      refusal: undefined,
      ranking,
      waiting: 0,
    }),
  });
  const io = aFakeIo({ fetch: fetchFrom(source) });
  await runExplain(io, ask);
  expect(io.out.text).toContain('gpt-4o:latest, served by qwen3:32b, on /api/chat: 1 of 1 nodes');
});

it('says what a client would be told where nobody can take it, and why each node was left out', async () => {
  const refusal = { code: 'no_node', message: "no node can serve 'alpha' now" };
  const io = explaining({ nodes: [], rejected: [{ id: 'gpu1', reason: 'draining' }] }, refusal);
  expect(await runExplain(io, ask)).toBe(1);
  expect(io.out.text).toContain("alpha:latest on /api/chat: no node can serve 'alpha' now (no_node)");
  expect(io.out.text).toMatch(/gpu1 +draining/);
});

it('says that there are no nodes at all', async () => {
  const io = explaining({ nodes: [], rejected: [] }, { code: 'no_node', message: 'no node' });
  expect(await runExplain(io, ask)).toBe(1);
  expect(io.out.text).toContain('no nodes are configured');
});

it('asks with the name, context and path given', async () => {
  const asked: string[] = [];
  const io = explaining({ nodes: [aRanked('gpu1')], rejected: [] }, undefined, asked);
  await runExplain(io, { ...ask, model: 'hf.co/a/b:q4&x=1', numCtx: 8192, path: '/v1/embeddings' });
  expect(asked).toEqual([
    'http://127.0.0.1:9411/explain?model=hf.co%2Fa%2Fb%3Aq4%26x%3D1&path=%2Fv1%2Fembeddings&num_ctx=8192',
  ]);
});

it('prints the ranking for programs', async () => {
  const io = explaining({ nodes: [aRanked('gpu1')], rejected: [] });
  expect(await runExplain(io, { ...ask, json: true })).toBe(0);
  expect(JSON.parse(io.out.text)).toMatchObject({
    model: 'alpha:latest',
    ranking: { nodes: [{ id: 'gpu1' }] },
  });
});

it('passes on why a name was refused', async () => {
  const source = aSource([], {
    explain: () => {
      throw new RouterError('invalid_model_name', 'invalid model name');
    },
  });
  const io = aFakeIo({ fetch: fetchFrom(source) });
  expect(await runExplain(io, ask)).toBe(1);
  expect(io.err.text).toBe('warmpath: invalid model name\n');
});

it('says who told of slots and memory, and how long ago', async () => {
  const ollama = { parallel: 4, maxLoadedModels: undefined, maxQueue: undefined };
  const report = aGpuReport([aGpu()], { ollama });
  const nodes = [
    aNode('gpu1', { record: { gpu: { agent: { report, at: 7_000 } } } }),
    aNode('gpu2', { spec: { vramBytes: 8 * 2 ** 30, slots: 2 } }),
    aNode('gpu3'),
  ];
  const ranking = { nodes: nodes.map(({ spec }) => aRanked(spec.id)), rejected: [] };
  const source = aSource(nodes, {
    explain: ({ path }) => ({
      model: 'alpha:latest',
      target: 'alpha:latest',
      path,
      refusal: undefined,
      ranking,
      waiting: 0,
    }),
  });
  const io = aFakeIo({ out: new FakeOutput({ columns: 80 }), fetch: fetchFrom(source) });
  await runExplain(io, ask);
  expect(io.out.text).toContain(
    [
      'NODE  SLOTS  SAYS                           VRAM  SAYS',
      'gpu1      4  agent, 3 s ago  7.0 GiB of 24.0 GiB  agent, 3 s ago',
      'gpu2      2  configured           0 B of 8.0 GiB  configured',
      'gpu3      1  learnt                          0 B  unknown',
      '',
    ].join('\n'),
  );
});
