import type { Plan } from './compose.ts';
import { machines } from './machines.ts';
import { models } from './models.ts';
import { steady } from './steady.ts';

const NAMES = ['llama3.1:8b', 'qwen3:14b'] as const;
const chat = { prompt: { median: 400 }, answer: { median: 220 } };

/** A node that fails fast looks idle: whoever looks at load alone sends it everything. */
export const failingNode: Plan = {
  name: 'failing-node',
  about: 'One of four RTX 3090 answers 500 within milliseconds, first always, later to half of its requests.',
  requests: 4_000,
  nodes: machines('rtx3090', 'gpu', 4, NAMES, { parallel: 2 }),
  models: models(...NAMES),
  streams: [
    steady({ ...chat, model: 'llama3.1:8b', callers: { name: 'person', count: 10 } }, 0.6),
    steady({ ...chat, model: 'qwen3:14b', callers: { name: 'office', count: 5 } }, 0.25),
  ],
  events: (durationMs) => [
    { kind: 'fails', at: 0.2 * durationMs, node: 'gpu2', share: 1 },
    { kind: 'fails', at: 0.45 * durationMs, node: 'gpu2', share: 0 },
    { kind: 'fails', at: 0.6 * durationMs, node: 'gpu2', share: 0.5 },
    { kind: 'fails', at: 0.8 * durationMs, node: 'gpu2', share: 0 },
  ],
};
