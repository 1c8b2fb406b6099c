import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyContextKey, figuresKey, NODE_FIGURES_KEY } from '../../../src/fleet/figures-key.ts';
import { MAX_FIGURES } from '../../../src/fleet/learn.ts';
import type { ModelFigures, ServiceTimes } from '../../../src/fleet/types.ts';
import { GIB, NodeLife, onDisk, resident } from './builders.ts';

const M = 'm:latest';
/** An API that tells no durations. */
const BARE = { loadMs: undefined, promptEvalMs: undefined, evalMs: undefined };
const NOON = Date.UTC(2026, 8, 1, 12);

function figuresOf(node: NodeLife, context?: number, model = M): ModelFigures {
  const figures = node.record.learnt.figures.get(figuresKey(model, context));
  if (figures === undefined) throw new Error('no figures');
  return figures;
}

/** A node with the model after these answers, a second apart. */
function taught(...services: Partial<ServiceTimes>[]): NodeLife {
  const node = new NodeLife().tagged(onDisk(M, { sizeBytes: 8 * GIB })).polled(resident(M));
  for (const [index, service] of services.entries())
    node.wait(1_000).served({ endedAt: NOON + index * 1_000, ...service });
  return node;
}

function times(count: number, service: Partial<ServiceTimes>): Partial<ServiceTimes>[] {
  return Array.from({ length: count }, () => service);
}

describe('load rate', () => {
  const node = (): NodeLife => new NodeLife().polled().tagged(onDisk(M, { sizeBytes: 10 * GIB }));
  const cold = (loadMs: number) => ({ wasWarm: false, loadMs, totalMs: loadMs + 1_000 });

  it('is learnt from the first load of a model of known size', () => {
    const { learnt } = node().served(cold(10_500)).record;
    expect(learnt.loadBytesPerSecond).toBeCloseTo(GIB, -6);
  });

  it('moves faster towards fast loads, as slow ones may have waited', () => {
    const rate = (...loads: number[]): number => {
      const life = node();
      for (const loadMs of loads) life.served(cold(loadMs));
      return life.record.learnt.loadBytesPerSecond ?? 0;
    };
    const before = rate(10_500);
    expect(rate(10_500, 5_500) / before).toBeCloseTo(1.5);
    expect(rate(10_500, 20_500) / before).toBeCloseTo(0.9);
  });

  it.each([
    { name: 'a warm request', fields: { wasWarm: true, loadMs: 5 } },
    {
      name: 'an API without durations that tells no time either',
      fields: { ...BARE, wasWarm: false, firstByteMs: undefined },
    },
    { name: 'no load at all', fields: { wasWarm: false, loadMs: 3 } },
    { name: 'a request that joined the load of another', fields: { ...cold(5_000), concurrency: 2 } },
    { name: 'a load beside running requests for other models', fields: { ...cold(60_000), besideOthers: 1 } },
  ])('is not learnt from $name', ({ fields }) => {
    const life = node().served(fields);
    expect(life.record.learnt.loadBytesPerSecond).toBeUndefined();
    expect(figuresOf(life).loadMs).toBeUndefined();
  });

  it('is not learnt from a model too small to tell, its load time is', () => {
    const life = new NodeLife().tagged(onDisk(M, { sizeBytes: 300_000 })).served(cold(290));
    expect(life.record.learnt.loadBytesPerSecond).toBeUndefined();
    expect(figuresOf(life).loadMs?.value).toBe(290);
  });

  it('is seen from outside where the API tells no durations: what the first byte came later than it would', () => {
    const life = node().served({ promptTokens: 1_000, promptEvalMs: 500 });
    life.served({ ...BARE, wasWarm: false, promptTokens: 1_000, firstByteMs: 10_500, totalMs: 12_000 });
    expect(figuresOf(life).loadMs?.value).toBeCloseTo(10_000);
  });
});

describe('load time', () => {
  it('is hardly lengthened by a load that waited for another', () => {
    const load = (loadMs: number) => ({ wasWarm: false, loadMs, totalMs: loadMs + 1_000 });
    const node = taught(...times(8, load(4_000)), load(60_000));
    expect(figuresOf(node).loadMs?.value).toBeLessThan(4_400);
    expect(figuresOf(taught(load(60_000), ...times(8, load(4_000)))).loadMs?.value).toBeLessThan(12_000);
  });
});

describe('prompt rate', () => {
  const read = (promptTokens: number, promptEvalMs: number, fields: Partial<ServiceTimes> = {}) => ({
    promptTokens,
    promptEvalMs,
    promptBytes: promptTokens * 4,
    ...fields,
  });
  const rate = (node: NodeLife) => figuresOf(node).promptRate?.value;

  it('is tokens over their reading', () => {
    expect(rate(taught(read(1_000, 500)))).toBeCloseTo(2_000);
  });

  it('is not raised by a prompt that the node still had, whether its count covers it or not', () => {
    const plain = times(5, read(1_000, 500));
    // 90 % cached: 100 tokens were read in 50 ms. Older versions count 1,000, newer ones 100.
    const all = read(1_000, 50, { cachedBytes: 3_600 });
    const onlyRead = { ...read(100, 50), promptBytes: 4_000, cachedBytes: 3_600 };
    expect(rate(taught(...plain, ...times(20, all)))).toBeCloseTo(2_000, -2);
    expect(rate(taught(...plain, ...times(20, onlyRead)))).toBeCloseTo(2_000, -2);
    expect(rate(taught(...plain, ...times(20, read(1_000, 400, { cachedBytes: 800 }))))).toBeCloseTo(
      2_000,
      -2,
    );
  });

  it('is not learnt from a prompt that was read faster than any machine can', () => {
    // As Ollama 0.24 answers the same prompt a second time: the count covers all, the time nothing.
    expect(rate(taught(read(1_458, 1.6, { completionTokens: 20, evalMs: 21 })))).toBeUndefined();
    const first = read(1_458, 2_091, { completionTokens: 20, evalMs: 88 });
    expect(
      rate(taught(first, ...times(9, read(1_458, 1.6, { completionTokens: 20, evalMs: 21 })))),
    ).toBeCloseTo(697, 0);
  });

  it('is hardly raised by prompts that were mostly cached, from the beginning', () => {
    const node = taught(read(1_000, 500), ...times(4, read(1_000, 40)));
    expect(rate(node)).toBeLessThan(8_000);
    for (let i = 0; i < 5; i += 1) node.served(read(1_000, 500, { endedAt: NOON }));
    expect(rate(node)).toBeLessThan(2_600);
  });

  it('is not raised by prompts that were cached without our knowing', () => {
    const node = taught(...times(8, read(1_000, 500)));
    for (let i = 0; i < 30; i += 1)
      node.served({ ...(i % 2 === 0 ? read(1_000, 20) : read(1_000, 500)), endedAt: NOON });
    expect(rate(node)).toBeLessThan(2_200);
  });

  it('rises when the node has really become faster', () => {
    const node = taught(...times(8, read(1_000, 500)), ...times(30, read(1_000, 50)));
    expect(rate(node)).toBeGreaterThan(17_000);
  });

  it('of embeddings is the whole time but the load', () => {
    const embed = {
      promptEvalMs: undefined,
      evalMs: undefined,
      completionTokens: undefined,
      firstByteMs: undefined,
    };
    expect(rate(taught({ ...embed, promptTokens: 500, loadMs: 10, totalMs: 260 }))).toBeCloseTo(2_000);
  });

  it('is the time to the first byte where no durations are told, and nothing where that may be a wait', () => {
    const bare = { ...BARE, promptTokens: 1_000, firstByteMs: 500 };
    expect(rate(taught(bare))).toBeCloseTo(2_000);
    expect(rate(taught({ ...bare, concurrency: 2 }))).toBeUndefined();
    expect(rate(taught({ ...bare, wasWarm: false }))).toBeUndefined();
  });
});

describe('answer rate', () => {
  it('is kept by the number of requests that ran at once', () => {
    const node = taught(
      { completionTokens: 100, evalMs: 2_000 },
      { completionTokens: 100, evalMs: 4_000, concurrency: 3, servedBeside: 2 },
    );
    expect(figuresOf(node).answerRates.map((rate) => rate?.value)).toEqual([50, undefined, 25]);
  });

  it('of a request that queued is that of one that ran alone', () => {
    const node = taught({ completionTokens: 100, evalMs: 2_000, concurrency: 9, totalMs: 30_000 });
    expect(figuresOf(node).answerRates.map((rate) => rate?.value)).toEqual([50]);
  });

  it('has a bounded number of places', () => {
    const node = taught({ completionTokens: 100, evalMs: 2_000, concurrency: 5_000, servedBeside: 4_999 });
    expect(figuresOf(node).answerRates).toHaveLength(16);
  });

  it('is from the first byte to the end where a stream tells no durations', () => {
    const node = taught({ ...BARE, completionTokens: 101, firstByteMs: 1_000, totalMs: 3_000 });
    expect(figuresOf(node).answerRates[0]?.value).toBeCloseTo(50);
  });

  it('of an answer in one piece leaves the reading out', () => {
    const node = taught({ promptTokens: 1_000, promptEvalMs: 1_000 }, {
      ...BARE,
      model: M,
      promptTokens: 1_000,
      firstByteMs: undefined,
      completionTokens: 100,
      totalMs: 3_000,
    } as Partial<ServiceTimes>);
    // 50 tokens/s by its own count, then 100 tokens in 3 s of which 1 s was reading.
    expect(figuresOf(node).answerRates[0]?.value).toBeCloseTo(50);
  });
});

describe('text figures', () => {
  it('are tokens of the answer and bytes per token of prompts that were read as a whole', () => {
    const node = taught({ completionTokens: 300, promptTokens: 500, promptBytes: 2_500 });
    expect(figuresOf(node).answerTokens?.value).toBe(300);
    expect(figuresOf(node).bytesPerToken?.value).toBe(5);
  });

  it.each([
    { name: 'partly cached', fields: { promptTokens: 100, promptBytes: 4_000, cachedBytes: 3_600 } },
    {
      name: 'cut off to fit the context',
      fields: { promptTokens: 2_000, promptBytes: 40_000, numCtx: 2_048 },
    },
  ])('do not come from a prompt that was $name', ({ fields }) => {
    const node = taught(fields);
    expect(figuresOf(node, fields.numCtx).bytesPerToken).toBeUndefined();
  });
});

describe('the time that a request holds its slot', () => {
  const held = (node: NodeLife) => figuresOf(node).heldMs?.value;

  it('is the work alone: neither the wait nor the load counts', () => {
    expect(held(taught({ totalMs: 60_000, loadMs: 20_000 }))).toBe(1_000);
  });

  it('is estimated from the total and the queue where the node reports no durations', () => {
    expect(held(taught({ ...BARE, totalMs: 4_000 }))).toBe(4_000);
    expect(held(taught({ ...BARE, totalMs: 4_000, concurrency: 4 }))).toBe(1_000);
    expect(held(taught({ ...BARE, totalMs: 4_000, wasWarm: false }))).toBeUndefined();
  });
});

describe('the wait inside Ollama', () => {
  it('is what the durations do not explain, of requests that did not wait for ours', () => {
    expect(figuresOf(taught({ totalMs: 1_305, loadMs: 5 })).innerWaitMs?.value).toBe(305);
    expect(figuresOf(taught({ totalMs: 9_000, concurrency: 3 })).innerWaitMs).toBeUndefined();
  });
});

describe('the default context', () => {
  it('is that of the loaded model, where a request without one did not reload it', () => {
    expect(figuresOf(taught({})).defaultContext).toBe(4_096);
    expect(figuresOf(taught({ loadMs: 3_000 })).defaultContext).toBeUndefined();
    expect(figuresOf(taught({ numCtx: 8_192 }), 8_192).defaultContext).toBeUndefined();
  });
});

describe('figures', () => {
  it('are apart for contexts that differ by the factor four, and together over all contexts and models', () => {
    const node = taught(
      { completionTokens: 100, evalMs: 1_000 },
      { numCtx: 65_536, completionTokens: 100, evalMs: 4_000 },
    );
    expect(figuresOf(node).answerRates[0]?.value).toBe(100);
    expect(figuresOf(node, 65_536).answerRates[0]?.value).toBe(25);
    expect(node.record.learnt.figures.get(anyContextKey(M))?.answerRates[0]?.weight).toBeCloseTo(2, 3);
    // 8 GiB at 100 tokens/s would be 200 of the 4 GiB that the node's own figures are told in.
    const one = taught({ completionTokens: 100, evalMs: 1_000 }).record.learnt.figures.get(NODE_FIGURES_KEY);
    expect(one?.answerRates[0]?.value).toBe(200);
  });

  it('are kept for a bounded number of models, the latest ones; those of the node stay', () => {
    const node = new NodeLife();
    for (let i = 0; i < 400; i += 1) node.served({}, `m${i}:latest`);
    const { figures } = node.record.learnt;
    expect(figures.size).toBe(MAX_FIGURES);
    expect(figures.has('m399:latest')).toBe(true);
    expect(figures.has(NODE_FIGURES_KEY)).toBe(true);
    expect(figures.has('m0:latest')).toBe(false);
  });

  it('are finite and positive, whatever a node reports', () => {
    const number = fc.option(fc.oneof(fc.double(), fc.nat(1e6), fc.constantFrom(0, -1, 1e308)), {
      nil: undefined,
    });
    const total = fc.oneof(fc.double(), fc.nat(1e6));
    const service = fc.record({
      concurrency: fc.integer({ min: 1, max: 1_000 }),
      wasWarm: fc.boolean(),
      servedBeside: fc.option(fc.nat(1_000), { nil: undefined }),
      numCtx: fc.option(fc.nat(1e6), { nil: undefined }),
      firstByteMs: number,
      totalMs: total,
      loadMs: number,
      promptEvalMs: number,
      evalMs: number,
      promptTokens: number,
      completionTokens: number,
      promptBytes: number,
      cachedBytes: number,
      endedAt: number,
    });
    fc.assert(
      fc.property(fc.array(service, { minLength: 1, maxLength: 20 }), (services) => {
        const node = taught(...services);
        for (const {
          answerRates,
          slots,
          defaultContext,
          ...estimates
        } of node.record.learnt.figures.values()) {
          for (const estimate of [...answerRates, ...Object.values(estimates)]) {
            if (estimate === undefined) continue;
            expect(estimate.value).toBeGreaterThan(0);
            expect(estimate.value).toBeLessThanOrEqual(1e7);
            expect(Number.isFinite(estimate.spread)).toBe(true);
          }
          expect(slots ?? 1).toBeGreaterThanOrEqual(1);
          expect(defaultContext ?? 1).toBeGreaterThanOrEqual(1);
        }
        const { loadBytesPerSecond } = node.record.learnt;
        expect(Number.isFinite(loadBytesPerSecond ?? 1)).toBe(true);
      }),
    );
  });
});
