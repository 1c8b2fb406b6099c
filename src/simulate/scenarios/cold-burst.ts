import { bursts } from './bursts.ts';
import type { Plan } from './compose.ts';
import { machines } from './machines.ts';
import { models } from './models.ts';
import { steady } from './steady.ts';

const NAMES = ['llama3.1:8b', 'qwen2.5-coder:7b', 'deepseek-r1:14b'] as const;
const chat = { prompt: { median: 400 }, answer: { median: 220 } };

/** Everybody asks at once for a model that nobody has loaded. */
export const coldBurst: Plan = {
  name: 'cold-burst',
  about:
    'Two models in steady use on four RTX 4090; every 15 minutes 40 requests within two seconds for a third, which is cold.',
  requests: 3_000,
  nodes: machines('rtx4090', 'gpu', 4, NAMES, { parallel: 2, loadBytesPerSecond: 1e9 }),
  models: models(...NAMES),
  streams: [
    steady({ ...chat, model: 'llama3.1:8b', callers: { name: 'person', count: 10 } }, 0.2),
    steady({ ...chat, model: 'qwen2.5-coder:7b', callers: { name: 'editor', count: 5 } }, 0.15),
    bursts(
      {
        model: 'deepseek-r1:14b',
        callers: { name: 'class', count: 20 },
        prompt: { median: 200 },
        answer: { median: 250 },
      },
      { everySeconds: 900, size: 40, withinSeconds: 2 },
    ),
  ],
};
