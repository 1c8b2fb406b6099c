import type { SimEvent } from '../types.ts';
import type { Plan } from './compose.ts';
import { machines } from './machines.ts';
import { models } from './models.ts';
import { steady } from './steady.ts';

const NAMES = ['llama3.1:8b', 'qwen2.5-coder:7b'] as const;
const chat = { prompt: { median: 300 }, answer: { median: 200 } };

/** A fleet in motion: one machine joins, one leaves for good, one goes up and down. */
export const joinLeave: Plan = {
  name: 'join-leave',
  about: 'Five RTX 3060: one joins late, one leaves half-way, one goes down for 40 s again and again.',
  requests: 3_000,
  nodes: machines('rtx3060', 'gpu', 5, NAMES),
  models: models(...NAMES),
  streams: [
    steady({ ...chat, model: 'llama3.1:8b', callers: { name: 'person', count: 10 } }, 0.15),
    steady({ ...chat, model: 'qwen2.5-coder:7b', callers: { name: 'editor', count: 5 } }, 0.12),
  ],
  events: (durationMs) => [
    { kind: 'join', at: 0.3 * durationMs, node: 'gpu5' },
    { kind: 'leave', at: 0.5 * durationMs, node: 'gpu2' },
    ...flaps('gpu3', 0.6 * durationMs, 0.9 * durationMs),
  ],
};

/** Down for 40 s, up for two minutes. */
function flaps(node: string, fromMs: number, toMs: number): SimEvent[] {
  const events: SimEvent[] = [];
  for (let at = fromMs; at < toMs; at += 160_000) {
    events.push({ kind: 'down', at, node }, { kind: 'up', at: at + 40_000, node });
  }
  return events;
}
