import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_FIGURES } from '../../../src/fleet/figures.ts';
import { anyContextKey, figuresKey, NODE_FIGURES_KEY } from '../../../src/fleet/figures-key.ts';
import { viewOf } from '../../../src/fleet/snapshot.ts';
import type { Estimate, ModelFigures, NodeView, ServiceTimes } from '../../../src/fleet/types.ts';
import { DEFAULT_ROUTING as P } from '../../../src/routing/params.ts';
import { predictService, type ServicePrediction } from '../../../src/routing/predict.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { NodeLife } from '../fleet/builders.ts';
import { GIB, MODEL, node, onDisk, request, resident } from './builders.ts';

const SIZE = 4 * GIB;

function estimate(value: number, weight = 6): Estimate {
  return { value, spread: value / 10, weight, at: 0 };
}

function withFigures(
  byKey: Readonly<Record<string, Partial<ModelFigures>>>,
  fields: Partial<NodeView> = {},
): NodeView {
  const figures = new Map(Object.entries(byKey).map(([key, some]) => [key, { ...NO_FIGURES, ...some }]));
  const { models: _models, warm: _warm, ...rest } = fields;
  return { ...node('n1', rest), figures };
}

function predict(
  view: NodeView,
  fields: Parameters<typeof request>[0] = {},
  sizeBytes = SIZE,
  concurrency = 1,
): ServicePrediction {
  return predictService(view, request(fields), sizeBytes, concurrency, P);
}

describe('a node of which nothing is known', () => {
  it('loads, reads and writes as is taken for granted', () => {
    const { loadSeconds, promptTokens, promptSeconds, answerTokens, answerSeconds, confidence } = predict(
      node('n1'),
      { promptBytes: 8_000 },
    );
    expect(loadSeconds).toBeCloseTo(P.loadStartSeconds + SIZE / P.defaultLoadBytesPerSecond);
    expect(promptTokens).toBe(2_000);
    expect(promptSeconds).toBeCloseTo(P.baseSeconds + 1);
    expect(answerTokens).toBe(P.answerTokens);
    expect(answerSeconds).toBeCloseTo(5);
    expect(confidence).toBe(0);
  });

  it('is slower with larger models, and faster by its weight', () => {
    const small = predict(node('n1'));
    const large = predict(node('n1'), {}, 4 * SIZE);
    expect(large.answerSeconds / small.answerSeconds).toBeCloseTo(4);
    expect(predict(node('n1', { weight: 2 })).answerSeconds).toBeCloseTo(small.answerSeconds / 2);
    expect(predict(node('n1', { weight: 2 })).promptSeconds).toBeCloseTo(small.promptSeconds / 2);
  });

  it('writes slower for each of several at once, faster for all together', () => {
    const alone = predict(node('n1')).answerSeconds;
    const among = predict(node('n1'), {}, SIZE, 4).answerSeconds;
    expect(among).toBeGreaterThan(alone);
    expect(among).toBeLessThan(4 * alone);
  });
});

describe('a node whose answers tell neither tokens nor durations', () => {
  const stream = {
    loadMs: undefined,
    promptEvalMs: undefined,
    evalMs: undefined,
    promptTokens: undefined,
    completionTokens: undefined,
    firstByteMs: 400,
    totalMs: 21_000,
  };
  const life = new NodeLife().polled(resident(MODEL));
  for (let i = 0; i < 10; i += 1) life.wait(30_000).served(stream, MODEL);
  const view = viewOf(life.record, life.params, life.now);

  it('is believed to take as long as its requests have taken', () => {
    const { promptSeconds, answerSeconds, confidence } = predict(view, { promptBytes: 400 });
    expect(promptSeconds + answerSeconds).toBeCloseTo(21, 0);
    expect(confidence).toBe(1);
  });

  it('but not where the client wants less', () => {
    expect(predict(view, { maxTokens: 10 }).answerSeconds).toBeLessThan(1);
  });
});

describe('what a request needs', () => {
  it.each([
    { name: 'an embedding has no answer', fields: { operation: 'embed' as const }, tokens: 0 },
    { name: 'the client may take fewer tokens', fields: { maxTokens: 10 }, tokens: 10 },
    { name: 'the client may take more than usual', fields: { maxTokens: 1e6 }, tokens: P.answerTokens },
  ])('$name', ({ fields, tokens }) => {
    const { answerTokens, answerSeconds, promptSeconds } = predict(node('n1'), fields);
    expect(answerTokens).toBe(tokens);
    expect(answerSeconds > 0).toBe(tokens > 0);
    expect(promptSeconds).toBeGreaterThan(0);
  });

  it.each([{ isEmpty: true }, { operation: 'show' as const }])('nothing to read or write: %o', (fields) => {
    expect(predict(node('n1'), fields)).toMatchObject({
      promptTokens: 0,
      promptSeconds: 0,
      promptSecondsPerByte: 0,
      answerTokens: 0,
      answerSeconds: 0,
    });
  });

  it('a prompt is cut off at the context, images are read as many tokens', () => {
    expect(predict(node('n1'), { promptBytes: 1e6, numCtx: 4_096 }).promptTokens).toBe(4_096);
    expect(predict(node('n1'), { promptBytes: 400, images: 2 }).promptTokens).toBe(
      100 + 2 * P.tokensPerImage,
    );
    const warm = node('n1', { warm: [resident(MODEL, { contextLength: 2_048 })] });
    expect(predict(warm, { promptBytes: 1e6 }).promptTokens).toBe(2_048);
  });

  it('what the prompt cache saves is the reading alone', () => {
    const { promptSeconds, promptSecondsPerByte } = predict(node('n1'), { promptBytes: 40_000 });
    expect(promptSeconds - 40_000 * promptSecondsPerByte).toBeCloseTo(P.baseSeconds);
  });
});

describe('figures', () => {
  const KNOWN = {
    loadMs: estimate(20_000),
    promptRate: estimate(500),
    answerRates: [estimate(10)],
    answerTokens: estimate(50),
    bytesPerToken: estimate(5),
    innerWaitMs: estimate(10),
  };

  it('of the model at the context replace what is taken for granted', () => {
    const view = withFigures({ [figuresKey(MODEL, 8_192)]: KNOWN });
    expect(predict(view, { numCtx: 8_192, promptBytes: 5_000 })).toEqual({
      loadSeconds: 20,
      promptTokens: 1_000,
      promptSeconds: 2.01,
      promptSecondsPerByte: expect.closeTo(0.0004),
      answerTokens: 50,
      answerSeconds: 5,
      confidence: 1,
    });
  });

  it('of the model at another context come next, then those of other models by size', () => {
    const other = withFigures({
      [anyContextKey(MODEL)]: KNOWN,
      [NODE_FIGURES_KEY]: { answerRates: [estimate(80)] },
    });
    expect(predict(other, { numCtx: 8_192 }).answerSeconds).toBe(5);
    const node = withFigures({
      [NODE_FIGURES_KEY]: { answerRates: [estimate(80)], promptRate: estimate(4_000) },
    });
    // Its 4 GiB models write 80 tokens/s: one of 16 GiB writes 20.
    expect(predict(node, {}, 4 * SIZE).answerSeconds).toBeCloseTo(P.answerTokens / 20);
    expect(predict(node, {}, 4 * SIZE).confidence).toBe(0);
  });

  it('of few samples correct the next best by as much as they are worth', () => {
    const rate = (weight: number): number =>
      50 /
      predict(withFigures({ [MODEL]: { answerRates: [estimate(4, weight)], answerTokens: estimate(50) } }))
        .answerSeconds;
    expect(rate(6)).toBeCloseTo(4);
    expect(rate(1)).toBeLessThan(8);
    expect(rate(1)).toBeGreaterThan(4);
    expect(rate(0.01)).toBeCloseTo(40, 0);
  });

  it('of another number of requests at once stand in for what was never seen', () => {
    const view = withFigures({ [MODEL]: { answerRates: [undefined, estimate(20)] } });
    const seconds = (concurrency: number) => predict(view, {}, SIZE, concurrency).answerSeconds;
    expect(seconds(2)).toBeCloseTo(P.answerTokens / 20);
    expect(seconds(1)).toBeCloseTo(P.answerTokens / 20 / (1 + P.slowdownPerRequest));
    expect(seconds(3)).toBeGreaterThan(seconds(2));
  });
});

describe('a node that serves', () => {
  /** Around 1, by a fifth, every twentieth ten times off. */
  const noise = (random: () => number): number => {
    const around = 1 + 0.4 * (random() - 0.5);
    return random() < 0.05 ? (random() < 0.5 ? around * 10 : around / 10) : around;
  };

  interface Truth {
    readonly promptRate: number;
    readonly answerRate: number;
    readonly loadMs: number;
  }

  function serve(life: NodeLife, count: number, truth: Truth, random: () => number): void {
    for (let i = 0; i < count; i += 1) {
      const promptTokens = 1_500;
      const completionTokens = 200;
      const isCold = i % 2 === 0;
      const loadMs = isCold ? truth.loadMs * Math.max(1, noise(random)) : 4;
      const promptEvalMs = (promptTokens / truth.promptRate) * 1_000 * noise(random);
      const evalMs = (completionTokens / truth.answerRate) * 1_000 * noise(random);
      life.wait(60_000).served(
        {
          wasWarm: !isCold,
          numCtx: 8_192,
          promptBytes: 6_000,
          promptTokens,
          completionTokens,
          loadMs,
          promptEvalMs,
          evalMs,
          totalMs: loadMs + promptEvalMs + evalMs + 5,
          endedAt: 1.8e12 + life.now,
        } satisfies Partial<ServiceTimes>,
        MODEL,
      );
    }
  }

  /** How far the prediction is off, as a share of the truth: the worst of what is asked about. */
  function off(life: NodeLife, { promptRate, answerRate, loadMs }: Truth): { service: number; load: number } {
    const view = viewOf(life.record, life.params, life.now);
    const p = predict(view, { numCtx: 8_192, promptBytes: 6_000 });
    const error = (predicted: number, real: number) => Math.abs(predicted / real - 1);
    const service = Math.max(
      error(p.promptSeconds, 1_500 / promptRate + 0.009),
      error(p.answerSeconds, 200 / answerRate),
    );
    return { service, load: error(p.loadSeconds * 1_000, loadMs) };
  }

  const SLOW = { promptRate: 300, answerRate: 8, loadMs: 12_000 };
  const FAST = { promptRate: 900, answerRate: 20, loadMs: 5_000 };

  it('is predicted within 15 % after 30 samples, and again 30 samples after it has changed', () => {
    const random = seededRandom(7);
    const errors = { service: [0], load: [0], changedService: [0], changedLoad: [0] };
    for (let run = 0; run < 60; run += 1) {
      const life = new NodeLife().tagged(onDisk(MODEL, { sizeBytes: SIZE })).polled();
      serve(life, 30, SLOW, random);
      errors.service.push(off(life, SLOW).service);
      serve(life, 30, SLOW, random); // every other one loads
      errors.load.push(off(life, SLOW).load);
      serve(life, 30, FAST, random);
      errors.changedService.push(off(life, FAST).service);
      serve(life, 30, FAST, random);
      errors.changedLoad.push(off(life, FAST).load);
    }
    for (const all of Object.values(errors))
      expect(all.filter((error) => error <= 0.15).length / all.length).toBeGreaterThan(0.85);
  });
});

describe('predictions', () => {
  const figure = fc.option(
    fc.record({
      value: fc.double({ min: 0, max: 1e15, noNaN: true }),
      spread: fc.double({ min: 0, max: 1e15, noNaN: true }),
      weight: fc.double({ min: 0, max: 1e3, noNaN: true }),
      at: fc.constant(0),
    }),
    { nil: undefined },
  );
  const some = fc.record({
    loadMs: figure,
    promptRate: figure,
    answerRates: fc.array(figure, { maxLength: 5 }),
    answerTokens: figure,
    bytesPerToken: figure,
    heldMs: figure,
    innerWaitMs: figure,
  });

  it('are finite and not negative, whatever was learnt and asked', () => {
    const wild = fc.oneof(fc.double(), fc.nat(1e9), fc.constantFrom(0, -1));
    fc.assert(
      fc.property(
        some,
        some,
        some,
        fc.record({ promptBytes: wild, images: fc.nat(20), maxTokens: fc.option(wild, { nil: undefined }) }),
        wild,
        wild,
        wild,
        (exact, any, all, fields, weight, size, concurrency) => {
          const view = withFigures(
            { [MODEL]: exact, [anyContextKey(MODEL)]: any, [NODE_FIGURES_KEY]: all },
            { weight },
          );
          const prediction = predict(view, fields, size, concurrency);
          for (const value of Object.values(prediction)) {
            expect(Number.isFinite(value)).toBe(true);
            expect(value).toBeGreaterThanOrEqual(0);
          }
          expect(prediction.confidence).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  it('do not depend on what was asked before', () => {
    const view = withFigures({
      [MODEL]: { answerRates: [estimate(10)] },
      'x:latest': { answerRates: [estimate(90)] },
    });
    const alone = predict(view);
    predict(view, { model: { raw: 'x', key: 'x:latest' }, numCtx: 5 });
    expect(predict(view)).toEqual(alone);
  });
});
