import type { Scenario } from '../../../src/simulate/types.ts';
import { buildScenario } from '../../../src/simulate/workload.ts';
import type { Workload, WorkloadStream } from '../../../src/simulate/workload-types.ts';
import { GIB, simNode } from './node-bench.ts';

export const lengths = (median: number, spread = 0) => ({ median, spread, min: 1, max: 100_000 });

/** Chats of one caller about `a`, one in two seconds. */
export function stream(fields: Partial<WorkloadStream> = {}): WorkloadStream {
  return {
    name: 'chat',
    arrivals: { kind: 'poisson', perSecond: 0.5 },
    callers: 1,
    skew: 0,
    class: 'normal',
    maxWaitMs: 30_000,
    path: '/api/chat',
    models: [{ value: 'a:latest', weight: 1 }],
    contexts: [],
    prompt: lengths(200),
    answer: lengths(100),
    systemTokens: 0,
    ...fields,
  };
}

/** Two nodes with 8 GiB, three models of 4 GiB: one each fits. */
export function workload(fields: Partial<Workload> = {}): Workload {
  const keys = ['a:latest', 'b:latest', 'c:latest'];
  const node = simNode({
    vramBytes: 8 * GIB,
    loadBytesPerSecond: 2 * GIB,
    promptTokensPerSecond: 20_000,
    answerTokensPerSecond: 800,
    rttMs: 1,
    models: keys,
  });
  return {
    name: 'test',
    about: '',
    nodes: [
      { ...node, id: 'n1', parallel: 2 },
      { ...node, id: 'n2' },
    ],
    models: keys.map((key) => ({
      key,
      sizeBytes: 4 * GIB,
      kvBytesPerToken: 128 * 1024,
      defaultContext: 4_096,
    })),
    durationMs: 600_000,
    streams: [stream()],
    events: [],
    ...fields,
  };
}

/** Mixed and troubled: three models, contexts, conversations, bursts, impatient clients, nodes that fail, leave and return. */
export function troubledScenario(seed: number): Scenario {
  const models = [
    { value: 'a:latest', weight: 3 },
    { value: 'b:latest', weight: 2 },
    { value: 'c:latest', weight: 1 },
  ];
  return buildScenario(
    workload({
      streams: [
        stream({
          name: 'mix',
          models,
          callers: 5,
          skew: 1,
          prompt: lengths(300, 1),
          answer: lengths(80, 1),
          patienceMs: 40_000,
        }),
        stream({
          name: 'talk',
          arrivals: { kind: 'sessions', perSecond: 0.03, turns: lengths(4, 0.5), think: lengths(5_000, 0.5) },
          contexts: [
            { value: undefined, weight: 1 },
            { value: 8_192, weight: 1 },
          ],
          systemTokens: 100,
          class: 'interactive',
        }),
        stream({
          name: 'burst',
          arrivals: { kind: 'bursts', perSecond: 4, onMs: 3_000, offMs: 60_000 },
          class: 'batch',
          path: '/v1/chat/completions',
        }),
      ],
      events: [
        { kind: 'fails', at: 60_000, node: 'n2', share: 0.4 },
        { kind: 'fails', at: 120_000, node: 'n2', share: 0 },
        { kind: 'down', at: 150_000, node: 'n1' },
        { kind: 'up', at: 180_000, node: 'n1' },
        { kind: 'leave', at: 300_000, node: 'n2' },
        { kind: 'join', at: 360_000, node: 'n2' },
      ],
    }),
    seed,
  );
}
