import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/simulate/engine/seeded-random.ts';
import { UNIT_BYTES } from '../../src/simulate/node/speed.ts';
import type { SimModelSpec, SimNodeSpec } from '../../src/simulate/types.ts';
import { type RealOllama, realOllama, startRealOllama } from '../support/ollama.ts';
import { describeReal } from '../support/require-real.ts';
import { pause } from '../support/wait-for.ts';
import { type SimulatedFleet, startFleet } from './fleet.ts';
import { completionMs, firstTokenMs, medianError, type PlannedRequest, predict } from './prediction.ts';
import { type TimedAnswer, timedGenerate } from './timed-request.ts';

/** Below this, what is measured is the machine that the tests run on. */
const FLOOR_MS = 50;
/** A load shows above this; without one, Ollama tells of some ms. */
const LOADED_MS = 40;

const middle = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

/** Sends the requests as planned, in real time. */
async function perform(
  plan: readonly PlannedRequest[],
  urlOf: (node: string) => string,
): Promise<TimedAnswer[]> {
  const begun = performance.now();
  return Promise.all(
    plan.map(async ({ atMs, node, model, promptTokens, answerTokens, numCtx }, at) => {
      await pause(Math.max(0, atMs - (performance.now() - begun)));
      return timedGenerate(urlOf(node), {
        model,
        // Four characters count as a token there, and the prompt's frame as four; the number makes each another prompt.
        prompt: `${at} ${'x'.repeat(4 * (promptTokens - 4))}`.slice(0, 4 * (promptTokens - 4)),
        stream: true,
        options: { num_predict: answerTokens, ...(numCtx === undefined ? {} : { num_ctx: numCtx }) },
      });
    }),
  );
}

describe('the engine and the simulated nodes that run in real time', () => {
  const RATES = { promptTokensPerSecond: 2_000, tokensPerSecond: 150, loadBytesPerSecond: 1.5 * UNIT_BYTES };
  const keys = ['a:latest', 'b:latest', 'c:latest'];
  // A kilobyte a token and slot: two models fit, with the default context or twice that.
  const VRAM = 2.2 * UNIT_BYTES;
  let fleet: SimulatedFleet;

  beforeAll(async () => {
    fleet = await startFleet(
      2,
      {
        ...RATES,
        models: keys.map((name) => ({ name, sizeBytes: UNIT_BYTES, kvBytesPerToken: 1_024 })),
        vramBytes: VRAM,
        defaultContext: 4_096,
      },
      (index) => ({ slots: index === 0 ? 2 : 1 }),
    );
  });
  afterAll(() => fleet?.close());

  const nodes = [2, 1].map(
    (parallel, index): SimNodeSpec => ({
      id: `n${index + 1}`,
      vramBytes: VRAM,
      parallel,
      maxLoadedModels: 3,
      loadBytesPerSecond: RATES.loadBytesPerSecond,
      loadStartMs: 0,
      promptTokensPerSecond: RATES.promptTokensPerSecond,
      answerTokensPerSecond: RATES.tokensPerSecond,
      // Those nodes do not slow down under load.
      batchCost: 0,
      contention: 0,
      rttMs: 1,
      models: keys,
      tellsVram: true,
    }),
  );
  const models = keys.map(
    (key): SimModelSpec => ({ key, sizeBytes: UNIT_BYTES, kvBytesPerToken: 1_024, defaultContext: 4_096 }),
  );

  it('agree on loads, and nearly on times, over queues, evictions and reloads', async ({ annotate }) => {
    const random = seededRandom(11, 'validation');
    let atMs = 0;
    const plan = Array.from({ length: 60 }, (): PlannedRequest => {
      atMs += -Math.log(1 - random()) * 300;
      return {
        atMs,
        node: random() < 0.6 ? 'n1' : 'n2',
        model: keys[Math.floor(random() ** 2 * 3)] ?? 'a:latest',
        promptTokens: 20 + Math.floor(random() * 400),
        answerTokens: 5 + Math.floor(random() * 60),
        numCtx: random() < 0.1 ? 8_192 : undefined,
      };
    });
    const { outcomes, loads } = predict(nodes, models, plan);
    const real = await perform(plan, (node) => fleet.node(node).url);
    expect(real.map(({ status }) => status)).toEqual(plan.map(() => 200));
    const realLoads = fleet.nodes.reduce((sum, node) => sum + node.stats().loads, 0);
    const firstToken = medianError(
      outcomes.map(firstTokenMs),
      real.map(({ firstByteMs }) => firstByteMs),
      FLOOR_MS,
    );
    const completion = medianError(
      outcomes.map(completionMs),
      real.map(({ totalMs }) => totalMs),
      FLOOR_MS,
    );
    await annotate(
      `loads ${loads} and ${realLoads}; median error ${firstToken.toFixed(3)} to the first token, ${completion.toFixed(3)} to the end`,
    );
    expect(Math.abs(loads - realLoads)).toBeLessThanOrEqual(Math.ceil(0.1 * realLoads));
    expect(firstToken).toBeLessThan(0.4);
    expect(completion).toBeLessThan(0.4);
  }, 90_000);
});

describeReal(realOllama(), 'the engine and real Ollama', (path) => {
  const ANSWER = 600;
  let ollama: RealOllama;
  const models = ['alpha:latest', 'beta:latest'].map(
    (key): SimModelSpec => ({
      key,
      sizeBytes: UNIT_BYTES,
      kvBytesPerToken: 0,
      defaultContext: 4_096,
      maxContext: 8_192,
    }),
  );

  const ask = (prompt: string, fields: { model?: string; num_ctx?: number; num_predict?: number } = {}) => {
    const { model = 'alpha', ...options } = fields;
    return timedGenerate(ollama.url, { model, prompt, options: { num_predict: ANSWER, ...options } });
  };

  beforeAll(async () => {
    ollama = await startRealOllama({
      path,
      models: ['alpha', 'beta'],
      env: { OLLAMA_MAX_LOADED_MODELS: '1', OLLAMA_NUM_PARALLEL: '1' },
    });
  });
  afterAll(() => ollama?.stop());

  /** The server as the engine knows it. Its rates are those of the machine at the moment: measured on it, alone, before anything is foretold. */
  async function measured(): Promise<SimNodeSpec> {
    const loads: number[] = [];
    for (const num_ctx of [2_048, 4_096, 2_048, 4_096])
      loads.push((await ask('load', { num_ctx, num_predict: 1 })).figures?.load ?? 0);
    const samples: TimedAnswer[] = [];
    for (const prompt of ['one river', 'two stones', 'three birds']) samples.push(await ask(prompt));
    const typical = (of: (answer: TimedAnswer) => number): number => middle(samples.map(of));
    return {
      id: 'real',
      vramBytes: 0,
      parallel: 1,
      maxLoadedModels: 1,
      loadBytesPerSecond: Number.POSITIVE_INFINITY,
      loadStartMs: middle(loads),
      promptTokensPerSecond: typical(
        ({ promptTokens, figures }) => (promptTokens / Math.max(0.1, figures?.prompt ?? 0)) * 1000,
      ),
      // As clients see it: what sending takes counts.
      answerTokensPerSecond: typical(
        ({ answerTokens, totalMs, firstByteMs }) => (answerTokens / (totalMs - firstByteMs)) * 1000,
      ),
      rttMs: typical(({ firstByteMs, figures }) => Math.max(0, firstByteMs - (figures?.prompt ?? 0))),
      models: models.map(({ key }) => key),
      tellsVram: false,
    };
  }

  /** How far off the first token and the end of a burst of six are, and in which order they were served. */
  async function burst() {
    const node = await measured();
    const plan = Array.from(
      { length: 6 },
      (_, at): PlannedRequest => ({
        atMs: at * 20,
        node: 'real',
        model: 'alpha:latest',
        promptTokens: 20,
        answerTokens: ANSWER,
      }),
    );
    // The model is in memory there: here a first request loads it long before.
    const loading = { atMs: 0, node: 'real', model: 'alpha:latest', promptTokens: 1, answerTokens: 1 };
    const later = plan.map((request) => ({ ...request, atMs: request.atMs + 60_000 }));
    const predicted = predict([node], models, [loading, ...later]).outcomes.slice(1);
    const real = await perform(plan, () => ollama.url);
    const beganAt = real.map(({ firstByteMs }, at) => firstByteMs + at * 20);
    return {
      order: real.map((_, at) => at).sort((a, b) => (beganAt[a] ?? 0) - (beganAt[b] ?? 0)),
      firstToken: medianError(
        predicted.map(firstTokenMs),
        real.map(({ firstByteMs }) => firstByteMs),
        FLOOR_MS,
      ),
      completion: medianError(
        predicted.map(completionMs),
        real.map(({ totalMs }) => totalMs),
        FLOOR_MS,
      ),
    };
  }

  it('agree on bursts of six: one after the other, in order of arrival', async ({ annotate }) => {
    // The machine may slow down between measuring and the burst: the middle one of three counts.
    const bursts = [await burst(), await burst(), await burst()];
    const firstToken = middle(bursts.map((each) => each.firstToken));
    const completion = middle(bursts.map((each) => each.completion));
    await annotate(
      `bursts: median error ${firstToken.toFixed(3)} to the first token, ${completion.toFixed(3)} to the end`,
    );
    for (const { order } of bursts) expect(order).toEqual([0, 1, 2, 3, 4, 5]);
    expect(firstToken).toBeLessThan(0.6);
    expect(completion).toBeLessThan(0.6);
  }, 180_000);

  it('agree on every load of a sequence of models and contexts', async ({ annotate }) => {
    const sequence = [
      { model: 'alpha', num_ctx: 2_048 },
      { model: 'alpha', num_ctx: 2_048 },
      { model: 'alpha', num_ctx: 8_192 },
      { model: 'alpha', num_ctx: 100_000 },
      { model: 'beta', num_ctx: undefined },
      { model: 'beta', num_ctx: 4_096 },
      { model: 'alpha', num_ctx: 2_048 },
      { model: 'alpha', num_ctx: undefined },
      { model: 'beta', num_ctx: undefined },
    ];
    const node = await measured();
    await ask('from beta', { model: 'beta', num_predict: 1 });
    const real: TimedAnswer[] = [];
    for (const { model, num_ctx } of sequence)
      real.push(
        await ask('short', { model, num_predict: 20, ...(num_ctx === undefined ? {} : { num_ctx }) }),
      );
    const begin: PlannedRequest = {
      atMs: 0,
      node: 'real',
      model: 'beta:latest',
      promptTokens: 5,
      answerTokens: 1,
    };
    const plan = sequence.map(
      ({ model, num_ctx }, at): PlannedRequest => ({
        atMs: (at + 1) * 60_000,
        node: 'real',
        model: `${model}:latest`,
        promptTokens: 10,
        answerTokens: 20,
        numCtx: num_ctx,
      }),
    );
    const { outcomes } = predict([node], models, [begin, ...plan]);
    const predicted = outcomes.slice(1);
    const error = medianError(
      predicted.map(completionMs),
      real.map(({ totalMs }) => totalMs),
      FLOOR_MS,
    );
    await annotate(`reloads: median error ${error.toFixed(3)}`);
    expect(real.map(({ figures }) => (figures?.load ?? 0) > LOADED_MS)).toEqual(
      predicted.map(({ loaded }) => loaded),
    );
    expect(error).toBeLessThan(1);
  }, 120_000);
});
