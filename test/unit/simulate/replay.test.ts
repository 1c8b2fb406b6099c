import { describe, expect, it } from 'vitest';
import type { RecordedRequest } from '../../../src/app/decision-record.ts';
import { UNIT_BYTES } from '../../../src/simulate/node/speed.ts';
import { replayFleet } from '../../../src/simulate/replay/replay-fleet.ts';
import { replayRequests } from '../../../src/simulate/replay/replay-requests.ts';
import { policyP50 } from './replay-support.ts';

const START = Date.UTC(2026, 0, 5, 8);

function record(fields: Partial<RecordedRequest> & { readonly atMs?: number } = {}): RecordedRequest {
  const { atMs = 0, ...rest } = fields;
  return {
    at: new Date(START + atMs).toISOString(),
    path: '/api/chat',
    model: 'a:latest',
    target: 'a:latest',
    bodyBytes: 1_000,
    promptBytes: 800,
    images: 0,
    class: 'normal',
    caller: 'c1',
    prefixes: [],
    waitedMs: 0,
    node: 'n1',
    end: 'complete',
    status: 200,
    attempts: 1,
    totalMs: 2_000,
    firstByteMs: 500,
    promptTokens: 200,
    completionTokens: 100,
    loadMs: 5,
    promptEvalMs: 200,
    evalMs: 1_000,
    ...rest,
  };
}

describe('replayed requests', () => {
  it('come when they came, in order, with what they asked and got', () => {
    const [first, second] = replayRequests([
      record({
        atMs: 5_000,
        class: 'batch',
        numCtx: 8_192,
        completionTokens: 70,
        caller: 'c2',
        maxWaitMs: 9_000,
      }),
      record({ atMs: 2_000, target: 'b:latest' }),
    ]);
    expect(first).toMatchObject({ id: 0, arrivesAt: 0, request: { model: { key: 'b:latest' } } });
    expect(second).toMatchObject({
      id: 1,
      arrivesAt: 3_000,
      promptTokens: 200,
      answerTokens: 70,
      caller: { id: 'c2', class: 'batch', maxWaitMs: 9_000 },
      request: { numCtx: 8_192, promptBytes: 800, endpoint: { path: '/api/chat' } },
    });
  });

  it.each([
    {
      name: 'tokens of the prompt from its bytes',
      fields: { promptTokens: undefined },
      want: { promptTokens: 200 },
    },
    {
      name: 'the answer from the limit',
      fields: { completionTokens: undefined, maxTokens: 64 },
      want: { answerTokens: 64 },
    },
    {
      name: 'patience of who left before the first byte',
      fields: { end: 'client_gone', firstByteMs: undefined },
      want: { patienceMs: 2_000 },
    },
    {
      name: 'no patience of who left amid the answer',
      fields: { end: 'client_gone' },
      want: { patienceMs: undefined },
    },
  ] as const)('guess $name', ({ fields, want }) => {
    expect(replayRequests([record(fields as Partial<RecordedRequest>)])[0]).toMatchObject(want);
  });

  it('leave out what no routing could have served', () => {
    const kept = replayRequests([
      record({ path: '/api/show' }),
      record({ code: 'unknown_model', end: 'refused', node: undefined }),
      record({ code: 'line_full', end: 'refused', node: undefined }),
      record(),
    ]);
    expect(kept).toHaveLength(2);
  });

  it('go on with the conversation that they began with', () => {
    const system = { hash: 1, bytes: 200 };
    const requests = replayRequests([
      record({ atMs: 0, prefixes: [system, { hash: 2, bytes: 400 }] }),
      record({ atMs: 1, prefixes: [system, { hash: 9, bytes: 400 }] }),
      record({ atMs: 2, prefixes: [system, { hash: 2, bytes: 400 }, { hash: 3, bytes: 600 }] }),
    ]);
    expect(requests.map(({ sharedTokens }) => sharedTokens)).toEqual([0, 0, 100]);
    expect(requests[2]?.session).toBe(requests[0]?.session);
    expect(requests[1]?.session).not.toBe(requests[0]?.session);
    expect(new Set(requests.map(({ prefix }) => JSON.stringify(prefix))).size).toBe(1);
    expect(requests[0]?.prefix?.tokens).toBe(50);
  });
});

describe('the fleet of a recording', () => {
  // n1 is twice as fast as n2, b twice as heavy as a.
  const records = Array.from({ length: 40 }, (_, at) => {
    const node = at % 2 === 0 ? 'n1' : 'n2';
    const target = at % 4 < 2 ? 'a:latest' : 'b:latest';
    const slowness = (node === 'n1' ? 1 : 2) * (target === 'a:latest' ? 1 : 2);
    const loadMs = at < 4 ? 700 + 5_000 * slowness : 5;
    return record({
      atMs: at * 60_000,
      node,
      target,
      promptEvalMs: 100 * slowness,
      evalMs: 1_000 * slowness,
      loadMs,
    });
  });
  const { nodes, models } = replayFleet(records);
  const [n1, n2] = nodes;
  const [a, b] = models;

  it('tells the speed of nodes from the weight of models', () => {
    expect((n1?.answerTokensPerSecond ?? 0) / (n2?.answerTokensPerSecond ?? 1)).toBeCloseTo(2, 1);
    expect((b?.sizeBytes ?? 0) / (a?.sizeBytes ?? 1)).toBeCloseTo(2, 1);
  });

  it('has the rates that were seen', () => {
    const rate = ((n1?.answerTokensPerSecond ?? 0) * UNIT_BYTES) / (a?.sizeBytes ?? 1);
    expect(rate).toBeGreaterThan(95);
    expect(rate).toBeLessThan(105);
    const loadMs = ((a?.sizeBytes ?? 0) / (n1?.loadBytesPerSecond ?? 1)) * 1000;
    expect(loadMs).toBeGreaterThan(4_500);
    expect(loadMs).toBeLessThan(5_500);
  });

  it('runs as many requests at once as ran', () => {
    expect(nodes.map(({ parallel }) => parallel)).toEqual([1, 1]);
    const overlapping = [0, 100, 200].map((atMs) => record({ atMs, totalMs: 2_000, evalMs: 1_900 }));
    expect(replayFleet(overlapping).nodes[0]?.parallel).toBe(3);
  });

  it('gives a run again that takes as long as the recorded one', () => {
    // 0.2 s or so for the prompt of each: nobody waits for anybody, after the loads.
    expect(policyP50(records)).toBeGreaterThan(0.09);
    expect(policyP50(records)).toBeLessThan(0.5);
  });
});
