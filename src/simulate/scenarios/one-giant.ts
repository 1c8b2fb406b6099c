import type { Plan } from './compose.ts';
import { machine, machines } from './machines.ts';
import { models } from './models.ts';
import { steady } from './steady.ts';

const SMALL = ['llama3.2:3b', 'qwen2.5-coder:7b', 'llama3.1:8b'] as const;
const chat = { prompt: { median: 300 }, answer: { median: 200 } };

/** The large model fits on one machine only, which would be the fastest home of the small ones too. */
export const oneGiant: Plan = {
  name: 'one-giant',
  about:
    'A 70B model that only the Mac Studio can hold, and three small ones that are everywhere: the Mac Studio and three RTX 3060.',
  requests: 3_000,
  nodes: [
    machine('m2ultra', 'studio', [...SMALL, 'llama3.3:70b'], { parallel: 2 }),
    ...machines('rtx3060', 'gpu', 3, SMALL),
  ],
  models: models(...SMALL, 'llama3.3:70b'),
  streams: [
    steady({ ...chat, model: 'llama3.3:70b', callers: { name: 'analyst', count: 4 } }, 0.014),
    steady({ ...chat, model: 'llama3.1:8b', callers: { name: 'person', count: 8 } }, 0.14),
    steady(
      { ...chat, model: 'qwen2.5-coder:7b', callers: { name: 'editor', count: 4 }, prompt: { median: 900 } },
      0.1,
    ),
    steady(
      { ...chat, model: 'llama3.2:3b', callers: { name: 'assistant', count: 2 }, answer: { median: 60 } },
      0.15,
    ),
  ],
};
