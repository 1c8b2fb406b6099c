import { afterAll, beforeAll, expect, it } from 'vitest';
import { UNIT_BYTES } from '../../src/simulate/node/speed.ts';
import { simulate } from '../../src/simulate/policies.ts';
import { quantile } from '../../src/simulate/report/measure.ts';
import type { SimNodeSpec } from '../../src/simulate/types.ts';
import { buildScenario } from '../../src/simulate/workload.ts';
import { realEnvoy } from '../support/envoy.ts';
import { describeReal } from '../support/require-real.ts';
import { pause } from '../support/wait-for.ts';
import { type RunningWarmpath, startWarmpath } from '../support/warmpath.ts';
import { type SimulatedFleet, startFleet } from './fleet.ts';
import { firstTokenMs } from './prediction.ts';
import { timedGenerate } from './timed-request.ts';

const KEYS = ['a:latest', 'b:latest', 'c:latest'];
const RATES = { promptTokensPerSecond: 2_000, tokensPerSecond: 60, loadBytesPerSecond: 0.8 * UNIT_BYTES };
const VRAM = 2.2 * UNIT_BYTES;
const SLOTS = [2, 1, 1];

/** Requests for three models of which each of three nodes keeps two, from five callers, with some that come together. */
const scenario = buildScenario(
  {
    name: 'small',
    about: '',
    durationMs: 20_000,
    models: KEYS.map((key) => ({
      key,
      sizeBytes: UNIT_BYTES,
      kvBytesPerToken: 1_024,
      defaultContext: 4_096,
    })),
    nodes: SLOTS.map(
      (parallel, index): SimNodeSpec => ({
        id: `n${index + 1}`,
        vramBytes: VRAM,
        parallel,
        maxLoadedModels: 3,
        loadBytesPerSecond: RATES.loadBytesPerSecond,
        loadStartMs: 0,
        promptTokensPerSecond: RATES.promptTokensPerSecond,
        answerTokensPerSecond: RATES.tokensPerSecond,
        batchCost: 0,
        contention: 0,
        rttMs: 2,
        models: KEYS,
        tellsVram: false,
      }),
    ),
    streams: [
      {
        name: 'all',
        arrivals: { kind: 'poisson', perSecond: 3 },
        callers: 5,
        skew: 0,
        class: 'normal',
        maxWaitMs: 30_000,
        path: '/api/generate',
        models: KEYS.map((value, at) => ({ value, weight: 1 / (at + 1) })),
        contexts: [],
        prompt: { median: 100, spread: 0.5, min: 10, max: 400 },
        answer: { median: 30, spread: 0.5, min: 5, max: 120 },
        systemTokens: 0,
      },
    ],
    events: [],
  },
  3,
);

describeReal(await realEnvoy(), 'the engine and Warmpath before nodes that run in real time', () => {
  let fleet: SimulatedFleet;
  let warmpath: RunningWarmpath;

  beforeAll(async () => {
    fleet = await startFleet(
      SLOTS.length,
      {
        ...RATES,
        models: KEYS.map((name) => ({ name, sizeBytes: UNIT_BYTES, kvBytesPerToken: 1_024 })),
        vramBytes: VRAM,
        defaultContext: 4_096,
      },
      (index) => ({ slots: SLOTS[index] ?? 1 }),
    );
    warmpath = await startWarmpath({ nodes: fleet.specs });
  }, 60_000);
  afterAll(async () => {
    await warmpath?.stop();
    await fleet?.close();
  });

  it('come to the same loads and times, about', async ({ annotate }) => {
    const result = simulate(scenario, 'warmpath', { seed: 1 });
    const begun = performance.now();
    const real = await Promise.all(
      scenario.requests.map(async ({ arrivesAt, request, promptTokens, answerTokens, id }) => {
        await pause(Math.max(0, arrivesAt - (performance.now() - begun)));
        return timedGenerate(warmpath.url, {
          model: request.model.raw,
          prompt: `${id} ${'x'.repeat(4 * promptTokens)}`.slice(0, 4 * (promptTokens - 4)),
          options: { num_predict: answerTokens },
        });
      }),
    );
    expect(new Set(real.map(({ status }) => status))).toEqual(new Set([200]));
    const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
    const predictedMs = sorted(result.outcomes.map(firstTokenMs));
    const realMs = sorted(real.map(({ firstByteMs }) => firstByteMs));
    const realLoads = fleet.nodes.reduce((sum, node) => sum + node.stats().loads, 0);
    const text = [0.5, 0.75, 0.95].map(
      (share) =>
        `p${100 * share} ${quantile(predictedMs, share).toFixed(0)} and ${quantile(realMs, share).toFixed(0)} ms`,
    );
    await annotate(`loads ${result.loads} and ${realLoads}; first token ${text.join(', ')}`);
    expect(Math.abs(result.loads - realLoads)).toBeLessThanOrEqual(4);
    // Decisions hang on milliseconds: not each request is compared, but all of them together.
    expect(quantile(realMs, 0.75)).toBeLessThan(quantile(predictedMs, 0.75) * 2 + 500);
    expect(quantile(realMs, 0.75)).toBeGreaterThan(quantile(predictedMs, 0.75) / 2 - 500);
  }, 120_000);
});
