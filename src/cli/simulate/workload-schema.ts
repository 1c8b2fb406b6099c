import * as z from 'zod';
import { duration } from '../../config/duration.ts';
import { size } from '../../config/size.ts';
import { INFERENCE_ENDPOINTS } from '../../request/endpoints.ts';
import { modelKey } from '../../request/model-name.ts';
import { REQUEST_CLASSES } from '../../waiting/types.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const name = z
  .string('expected a name')
  .regex(NAME, 'expected a name of at most 64 letters, digits, dots, dashes and underscores');
const modelName = z
  .string('expected the name of a model')
  .refine((text) => modelKey(text) !== undefined, 'is no name of a model')
  .transform((text) => modelKey(text) ?? text);
const whole = (min: number, max: number) => {
  const message = `expected a whole number from ${min} to ${max}`;
  return z.number(message).int(message).min(min, message).max(max, message);
};
const number = (min: number, max: number) => {
  const message = `expected a number from ${min} to ${max}`;
  return z.number(message).min(min, message).max(max, message);
};
const perSecond = number(1e-6, 10_000);
const time = duration({ min: '0s', max: '8760h' });
const tokens = whole(1, 10_000_000);

const lengthKeys = {
  median: number(0.001, 10_000_000),
  /** 0: all are alike; 0.7: two thirds lie within half and twice the median. */
  spread: number(0, 5).prefault(0.7),
  min: number(0, 10_000_000).prefault(1),
  max: number(0, 10_000_000).prefault(10_000_000),
};
const lengths = z.union(
  [
    number(0, 10_000_000).transform((value) => ({ median: value, spread: 0, min: value, max: value })),
    z.strictObject(lengthKeys),
  ],
  'expected a number, or a section with "median" and perhaps "spread", "min" and "max"',
);

const nodeKeys = {
  name,
  /** So many alike, named NAME-1 and so on. */
  count: whole(1, 1_000).optional(),
  vram: size({ min: '0B', max: '1024TiB' }),
  parallel: whole(1, 64).prefault(1),
  maxLoadedModels: whole(1, 64).prefault(3),
  loadRate: size({ min: '1MiB', max: '1TiB', suffix: '/s' }),
  /** Tokens per second of a model of one billion parameters at 4 bits. */
  promptRate: number(0.1, 1e9),
  answerRate: number(0.1, 1e9),
  rtt: time.prefault('1ms'),
  models: z.array(modelName, 'expected a list of models').optional(),
  tellsVram: z.boolean('expected true or false').prefault(true),
  tellsSlots: z.boolean('expected true or false').prefault(false),
  loadStart: time.optional(),
  maxQueue: whole(0, 100_000).optional(),
  keepAlive: time.optional(),
  batchCost: number(0, 10).optional(),
  contention: number(0, 10).optional(),
};
const modelKeys = {
  name: modelName,
  size: size({ min: '1MiB', max: '100TiB' }),
  kvPerToken: size({ min: '0B', max: '1GiB' }).prefault('128KiB'),
  context: tokens.prefault(4_096),
  maxContext: tokens.optional(),
};
const arrivalKeys = {
  poisson: { kind: z.literal('poisson'), perSecond },
  bursts: { kind: z.literal('bursts'), perSecond, on: time, off: time },
  once: { kind: z.literal('once'), at: time.prefault('0s'), count: whole(1, 1_000_000) },
  sessions: { kind: z.literal('sessions'), perSecond, turns: lengths, thinkSeconds: lengths },
};
const arrivals = z.discriminatedUnion(
  'kind',
  [
    z.strictObject(arrivalKeys.poisson),
    z.strictObject(arrivalKeys.bursts),
    z.strictObject(arrivalKeys.once),
    z.strictObject(arrivalKeys.sessions),
  ],
  `expected a section whose "kind" is one of ${Object.keys(arrivalKeys).join(', ')}`,
);
const streamKeys = {
  name,
  arrivals,
  from: time.optional(),
  until: time.optional(),
  callers: whole(1, 100_000).prefault(1),
  skew: number(0, 10).prefault(0),
  class: z.enum(REQUEST_CLASSES, `expected one of ${REQUEST_CLASSES.join(', ')}`).prefault('normal'),
  maxWait: time.prefault('30s'),
  path: z
    .enum(
      INFERENCE_ENDPOINTS.map(({ path }) => path),
      'expected an inference path such as /api/chat',
    )
    .prefault('/api/chat'),
  stream: z.boolean('expected true or false').optional(),
  models: z.union(
    [
      modelName.transform((key) => [{ value: key, weight: 1 }]),
      z
        .array(modelName)
        .min(1)
        .transform((keys) => keys.map((value) => ({ value, weight: 1 }))),
      z
        .record(modelName, number(0, 1e6))
        .transform((weights) => Object.entries(weights).map(([value, weight]) => ({ value, weight }))),
    ],
    'expected a model, a list of models, or a section of MODEL: WEIGHT',
  ),
  /** Tokens, or `default` for requests that set none. */
  contexts: z
    .record(
      z.string().regex(/^(default|[1-9]\d{0,8})$/, 'expected a context in tokens, or "default"'),
      number(0, 1e6),
    )
    .transform((weights) =>
      Object.entries(weights).map(([key, weight]) => ({
        value: key === 'default' ? undefined : Number(key),
        weight,
      })),
    )
    .prefault({}),
  prompt: lengths,
  answer: lengths,
  systemTokens: whole(0, 1_000_000).prefault(0),
  /** Seconds; negative: for ever. */
  keepAlive: number(-1, 1e9).optional(),
  maxTokens: tokens.optional(),
  patience: time.optional(),
};
const eventKeys = {
  change: {
    kind: z.enum(['down', 'up', 'leave', 'join']),
    at: time,
    node: name,
  },
  fails: { kind: z.literal('fails'), at: time, node: name, share: number(0, 1) },
};
const event = z.discriminatedUnion(
  'kind',
  [z.strictObject(eventKeys.change), z.strictObject(eventKeys.fails)],
  'expected a section whose "kind" is one of down, up, leave, join, fails',
);
const list = <Item extends z.ZodType>(item: Item, what: string, max: number) =>
  z.array(item, `expected a list of ${what}`).max(max, `has more than ${max} ${what}`);
const workloadKeys = {
  name: name.optional(),
  about: z.string('expected a text').max(500, 'has more than 500 characters').prefault(''),
  duration: duration({ min: '1s', max: '8760h' }),
  nodes: list(z.strictObject(nodeKeys, 'expected a section with a "name"'), 'nodes', 1_000).min(
    1,
    'has no nodes',
  ),
  models: list(z.strictObject(modelKeys, 'expected a section with "name" and "size"'), 'models', 1_000).min(
    1,
    'has no models',
  ),
  streams: list(z.strictObject(streamKeys, 'expected a section with a "name"'), 'streams', 1_000).prefault(
    [],
  ),
  events: list(event, 'events', 10_000).prefault([]),
};

export const workloadSchema = z.strictObject(workloadKeys, 'expected a section of KEY: VALUE');
export type WorkloadInput = z.output<typeof workloadSchema>;

/** For messages about keys that are not known. */
export const WORKLOAD_KEYS: ReadonlyMap<string, readonly string[]> = new Map([
  ['', Object.keys(workloadKeys)],
  ['nodes', Object.keys(nodeKeys)],
  ['models', Object.keys(modelKeys)],
  ['streams', Object.keys(streamKeys)],
  ['streams.prompt', Object.keys(lengthKeys)],
  ['streams.answer', Object.keys(lengthKeys)],
  ['events:fails', Object.keys(eventKeys.fails)],
  ['events:down', Object.keys(eventKeys.change)],
  ['events:up', Object.keys(eventKeys.change)],
  ['events:leave', Object.keys(eventKeys.change)],
  ['events:join', Object.keys(eventKeys.change)],
  ...Object.entries(arrivalKeys).map(
    ([kind, keys]) => [`streams.arrivals:${kind}`, Object.keys(keys)] as const,
  ),
]);
