import type { Plan } from './compose.ts';
import { machines } from './machines.ts';
import { type ModelName, models } from './models.ts';
import { steady } from './steady.ts';

const NAMES: readonly ModelName[] = [
  'llama3.1:8b',
  'qwen3:8b',
  'qwen2.5-coder:7b',
  'mistral:7b',
  'gemma2:9b',
  'qwen3:14b',
  'phi4:14b',
  'deepseek-r1:14b',
];

/** More models than memory: each GPU keeps about three of the eight. */
export const eightOnTwo: Plan = {
  name: 'eight-on-two',
  about:
    'Eight models of 4 to 9 GB on two RTX 3090 that keep about three each; the first are asked for more often.',
  requests: 3_000,
  nodes: machines('rtx3090', 'gpu', 2, NAMES),
  models: models(...NAMES),
  streams: NAMES.map((model, i) =>
    steady(
      {
        model,
        callers: { name: `team-${i + 1}`, count: 3 },
        prompt: { median: 400 },
        answer: { median: 200 },
      },
      0.25 * zipfShare(i, NAMES.length, 0.8),
    ),
  ),
};

/** Share of the `index`th of `count` where demand falls with its place to that power. */
export function zipfShare(index: number, count: number, power: number): number {
  let all = 0;
  for (let i = 1; i <= count; i += 1) all += i ** -power;
  return (index + 1) ** -power / all;
}
