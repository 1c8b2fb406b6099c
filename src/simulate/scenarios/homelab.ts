import type { Plan } from './compose.ts';
import { machine } from './machines.ts';
import { models } from './models.ts';
import { dayWave, steady } from './steady.ts';

const chat = { prompt: { median: 300 }, answer: { median: 220 } };

/** One house: a gaming PC, an older desktop, a mini PC without a GPU; a day and a night. */
export const homelab: Plan = {
  name: 'homelab',
  about:
    'Three unequal machines (RTX 4090, RTX 3060, a mini PC without a GPU), five models, a day and a night.',
  requests: 3_000,
  nodes: [
    machine(
      'rtx4090',
      'tower',
      ['llama3.2:3b', 'qwen2.5-coder:7b', 'qwen3:14b', 'gemma3:27b', 'nomic-embed-text:latest'],
      { parallel: 2 },
    ),
    machine(
      'rtx3060',
      'desktop',
      ['llama3.2:3b', 'qwen2.5-coder:7b', 'qwen3:14b', 'nomic-embed-text:latest'],
      { loadBytesPerSecond: 0.5e9 },
    ),
    machine('minipc', 'mini', ['llama3.2:3b', 'qwen2.5-coder:7b', 'nomic-embed-text:latest']),
  ],
  models: models('llama3.2:3b', 'qwen2.5-coder:7b', 'qwen3:14b', 'gemma3:27b', 'nomic-embed-text:latest'),
  streams: [
    steady(
      {
        ...chat,
        model: 'llama3.2:3b',
        callers: { name: 'home-assistant' },
        system: 700,
        prompt: { median: 60 },
        answer: { median: 40 },
        class: 'interactive',
      },
      0.06,
    ),
    steady(
      {
        ...chat,
        model: 'qwen2.5-coder:7b',
        callers: { name: 'editor', count: 2 },
        prompt: { median: 900 },
        answer: { median: 120 },
      },
      0.05,
      dayWave,
    ),
    steady({ ...chat, model: 'qwen3:14b', callers: { name: 'family', count: 4 } }, 0.03, dayWave),
    steady(
      { ...chat, model: 'gemma3:27b', callers: { name: 'writer' }, answer: { median: 300 } },
      0.02,
      dayWave,
    ),
    steady(
      {
        model: 'nomic-embed-text:latest',
        path: '/api/embed',
        callers: { name: 'notes' },
        class: 'batch',
        prompt: { median: 400 },
        answer: { median: 1, max: 1 },
      },
      0.05,
    ),
  ],
};
