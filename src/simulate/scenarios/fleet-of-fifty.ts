import type { Plan } from './compose.ts';
import { zipfShare } from './eight-on-two.ts';
import { machines } from './machines.ts';
import { MODEL_NAMES, model, variant } from './models.ts';
import { steady } from './steady.ts';

const BASE = MODEL_NAMES.filter((name) => name !== 'llama3.3:70b').map((name) => model(name));
const MODELS = [
  ...BASE,
  variant('llama3.1:8b', 'legal:8b'),
  variant('llama3.1:8b', 'support:8b'),
  variant('qwen3:14b', 'sql:14b'),
  variant('mistral:7b', 'translate:7b'),
  variant('llama3.2:3b', 'router:3b'),
  variant('phi4:14b', 'maths:14b'),
];
/** Everybody's favourites are not the smallest ones: places in the order of demand, by place in `MODELS`. */
const ORDER = [5, 2, 11, 6, 4, 0, 14, 12, 3, 9, 16, 8, 15, 7, 10, 17, 13, 18, 1, 19];
const fits = (bytes: number) => MODELS.filter(({ sizeBytes }) => sizeBytes < bytes).map(({ key }) => key);

/** A company's fleet: unequal machines, twenty models, most of the fleet at work. */
export const fleetOfFifty: Plan = {
  name: 'fleet-of-fifty',
  about:
    'Fifty unequal machines, twenty models asked for by Zipf, at about 80 % of what the fleet can serve.',
  requests: 8_000,
  nodes: [
    ...machines('rtx4090', 'big', 15, fits(22e9), { parallel: 2 }),
    ...machines('rtx3060', 'small', 20, fits(11e9)),
    ...machines('m2max', 'mac', 10, fits(22e9)),
    ...machines('m2', 'mini', 5, fits(6e9)),
  ],
  models: MODELS,
  streams: ORDER.flatMap((place, rank) => {
    const of = MODELS[place];
    if (of === undefined) return [];
    const isEmbedding = of.key.startsWith('nomic');
    return [
      steady(
        {
          model: of.key,
          path: isEmbedding ? '/api/embed' : '/api/chat',
          callers: { name: `app-${rank + 1}`, count: 5 },
          prompt: { median: 350 },
          answer: isEmbedding ? { median: 1, max: 1 } : { median: 200 },
        },
        8 * zipfShare(rank, ORDER.length, 1),
      ),
    ];
  }),
};
