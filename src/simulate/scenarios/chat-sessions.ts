import type { Plan } from './compose.ts';
import { machines } from './machines.ts';
import { model } from './models.ts';
import { sessions } from './sessions.ts';

/** Long conversations: what a node has read before need not be read again. */
export const chatSessions: Plan = {
  name: 'chat-sessions',
  about:
    'Conversations of about nine turns with growing prompts, some with long pasted texts, on four RTX 3060 with two slots each.',
  requests: 3_000,
  nodes: machines('rtx3060', 'gpu', 4, ['llama3.1:8b'], { parallel: 2 }),
  models: [model('llama3.1:8b', 16_384)],
  streams: [
    sessions(
      {
        model: 'llama3.1:8b',
        callers: { name: 'person', count: 40 },
        class: 'interactive',
        system: 600,
        prompt: { median: 120, sigma: 1.2, max: 4_000 },
        answer: { median: 200 },
      },
      { startsPerSecond: 0.06, turns: { median: 7 }, think: { median: 20 }, maxPromptTokens: 15_000 },
    ),
  ],
};
