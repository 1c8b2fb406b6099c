import { bursts } from './bursts.ts';
import type { Plan } from './compose.ts';
import { machines } from './machines.ts';
import { models } from './models.ts';
import { steady } from './steady.ts';

const NAMES = ['llama3.1:8b', 'qwen3:14b'] as const;
const chat = { prompt: { median: 300 }, answer: { median: 200 } };
const job = (name: string, model: string, offset: number) =>
  bursts(
    { model, callers: { name }, prompt: { median: 1_500, max: 3_500 }, answer: { median: 120 } },
    { everySeconds: 1_800, size: 40, withinSeconds: 3, offset },
  );

/** Jobs of a few clients, all at the full hour, beside people; nobody said which is which. */
export const hourlyCron: Plan = {
  name: 'hourly-cron',
  about:
    'Three jobs of 40 long prompts each start within a minute, every half hour, beside quiet chats; all of one class. Three RTX 3090.',
  requests: 3_000,
  nodes: machines('rtx3090', 'gpu', 3, NAMES, { parallel: 2 }),
  models: models(...NAMES),
  streams: [
    steady({ ...chat, model: 'llama3.1:8b', callers: { name: 'person', count: 12 } }, 0.15),
    steady({ ...chat, model: 'qwen3:14b', callers: { name: 'office', count: 6 } }, 0.06),
    job('backup-report', 'llama3.1:8b', 0.3),
    job('mail-digest', 'qwen3:14b', 0.31),
    job('ticket-tags', 'llama3.1:8b', 0.32),
  ],
};
