import type { Plan } from './compose.ts';
import { machines } from './machines.ts';
import { models } from './models.ts';
import { steady } from './steady.ts';

const app = (name: string, numCtx: number, promptTokens: number) =>
  steady(
    {
      model: 'qwen3:14b',
      callers: { name },
      numCtx,
      prompt: { median: promptTokens, max: numCtx * 0.7 },
      answer: { median: 200, max: numCtx * 0.25 },
    },
    0.045,
  );

/** The most common complaint about Ollama: each application brings a context size of its own, and each change reloads the model. */
export const contextThrash: Plan = {
  name: 'context-thrash',
  about: 'Three applications ask one 14B model with num_ctx 4096, 8192 and 16384, on two RTX 3090.',
  requests: 2_000,
  nodes: machines('rtx3090', 'gpu', 2, ['qwen3:14b'], { loadBytesPerSecond: 1.5e9 }),
  models: models('qwen3:14b'),
  streams: [app('notes', 4_096, 500), app('editor', 8_192, 1_500), app('documents', 16_384, 4_000)],
};
