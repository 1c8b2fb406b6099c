import { bursts } from './bursts.ts';
import type { Plan } from './compose.ts';
import { machines } from './machines.ts';
import { models } from './models.ts';
import { steady } from './steady.ts';

const NAMES = ['qwen3:14b', 'nomic-embed-text:latest'] as const;

/** People chat while a nightly job asks for a hundred summaries at once and an index is built. */
export const batchBesideInteractive: Plan = {
  name: 'batch-beside-interactive',
  about:
    'Chats beside 100 summaries every 15 minutes and floods of embeddings, on three RTX 4090 with two slots each.',
  requests: 3_000,
  nodes: machines('rtx4090', 'gpu', 3, NAMES, { parallel: 2 }),
  models: models(...NAMES),
  streams: [
    steady(
      {
        model: 'qwen3:14b',
        callers: { name: 'person', count: 12 },
        class: 'interactive',
        prompt: { median: 300 },
        answer: { median: 200 },
      },
      0.2,
    ),
    bursts(
      {
        model: 'qwen3:14b',
        callers: { name: 'nightly' },
        class: 'batch',
        prompt: { median: 1_800, max: 3_500 },
        answer: { median: 150 },
      },
      { everySeconds: 900, size: 100, withinSeconds: 5 },
    ),
    bursts(
      {
        model: 'nomic-embed-text:latest',
        path: '/api/embed',
        callers: { name: 'index' },
        class: 'batch',
        prompt: { median: 500, max: 2_000 },
        answer: { median: 1, max: 1 },
      },
      { everySeconds: 600, size: 60, withinSeconds: 20 },
    ),
  ],
};
