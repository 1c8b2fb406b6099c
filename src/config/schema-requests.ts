import * as z from 'zod';
import { INFERENCE_ENDPOINTS } from '../request/endpoints.ts';
import { isCloudModel, modelKey } from '../request/model-name.ts';
import { SHADOW_POLICIES } from '../routing/rivals/names.ts';
import { REQUEST_CLASSES } from '../waiting/types.ts';
import { duration } from './duration.ts';
import { flag, guardToken, name, oneOf, oneOfOrOff, text, whole } from './schema-values.ts';
import { size } from './size.ts';

/** Settings of what becomes of a request: where it goes, how it waits, what is changed in it. */

export const routingKeys = {
  maxAttempts: whole(1, 20).prefault(3),
  firstByteTimeout: duration({ min: '100ms', max: '24h' }).prefault('60s'),
  loadTimeout: duration({ min: '100ms', max: '24h' }).prefault('5m'),
  answerTimeout: duration({ min: '1s', max: '24h' }).prefault('10m'),
  defaultLoadRate: size({ min: '1MiB', max: '1TiB', suffix: '/s' }).prefault('500MiB'),
  /** A second policy, asked beside the first about every request: what it would have cost is told, nothing follows from it. */
  shadow: oneOf(SHADOW_POLICIES).optional(),
};
const requestClass = oneOf(REQUEST_CLASSES);
export const waitingKeys = {
  /** How long a request may wait for a free slot where its client does not say; 0s: nobody waits here, the nodes queue. */
  maxWait: duration({ min: '0s', max: '1h' }).prefault('30s'),
  /** Requests in the line at once; further ones are refused. */
  maxRequests: whole(1, 100_000).prefault(1_000),
  /** Memory that their bodies may take. */
  maxBytes: size({ min: '1MiB', max: '64GiB' }).prefault('256MiB'),
  /** So long in the line counts as much as one class. */
  ageing: duration({ min: '100ms', max: '1h' }).prefault('10s'),
  defaultClass: requestClass.prefault('normal'),
  /** By path, for callers that nothing else is known of. */
  classes: z
    .partialRecord(
      z.enum(
        INFERENCE_ENDPOINTS.map(({ path }) => path),
        'is no inference path',
      ),
      requestClass,
      'expected a section of PATH: CLASS',
    )
    .prefault({}),
  /** Whether callers may say `x-warmpath-class` and `x-warmpath-deadline` themselves. */
  trustHeaders: flag.prefault(true),
};
export const rewriteKeys = {
  /** `pin`: a context that fits into the one in memory is set to that, and a larger one goes to the next of `numCtxBuckets`. */
  numCtx: oneOfOrOff(['pin', 'off']).prefault('pin'),
  numCtxBuckets: z
    .array(whole(1, 2 ** 30), 'expected a list of contexts, in tokens')
    .max(32, 'has more than 32 entries')
    .prefault([]),
  /** Contexts beyond it are cut down to it. */
  numCtxMax: whole(1, 2 ** 30).optional(),
  /** From callers without privilege: requests that keep the model for less time than that keep it so long, */
  keepAliveMin: duration({ min: '1s', max: '8760h' }).optional(),
  /** and those that keep it for longer, or for ever, so long. */
  keepAliveMax: duration({ min: '1s', max: '8760h' }).prefault('24h'),
  /** Who may unload a model (`keep_alive: 0`). */
  unload: oneOf(['privileged', 'anyone']).prefault('privileged'),
  /** What becomes of num_gpu, main_gpu, num_thread, num_batch, use_mmap and their like from callers without privilege. */
  runnerOptions: oneOf(['pass', 'strip', 'deny']).prefault('pass'),
  /** Requests of one caller without privilege that do nothing but load a model; 0: no limit. */
  preloadsPerMinute: whole(0, 100_000).prefault(30),
};
export const decisionsKeys = {
  /** Decisions and how they ended are appended here, one JSON document a line, for `warmpath simulate --replay`. No prompts. */
  record: text('a path').optional(),
  /** The file is begun anew beyond this; one earlier file is kept. */
  maxBytes: size({ min: '1MiB', max: '64GiB' }).prefault('256MiB'),
};
const modelName = z
  .string('expected the name of a model')
  .refine((name) => !isCloudModel(name), {
    error: 'is a cloud model: requests for those are refused, as their data would leave the fleet',
    abort: true,
  })
  .refine((name) => modelKey(name) !== undefined, 'is no name of a model');

/** Names that clients may ask for, and the models that serve them, best first. */
export const modelsSchema = z
  .record(
    modelName,
    z.preprocess(
      (models) => (typeof models === 'string' ? [models] : models),
      z
        .array(modelName, 'expected a model or a list of models, best first')
        .min(1, 'names no model')
        .max(8, 'has more than 8 models'),
    ),
    'expected a section of NAME: MODELS',
  )
  .refine((models) => Object.keys(models).length <= 1_000, 'has more than 1000 names')
  .prefault({});

/** A caller that is known by the key that it sends as bearer token. */
export const clientKeys = {
  name,
  key: guardToken.optional(),
  keyFile: text('a path').optional(),
  class: requestClass.optional(),
  /** May unload models and set runner options. */
  privileged: flag.prefault(false),
};
export const clientsSchema = z
  .array(z.strictObject(clientKeys, 'expected a section with "name" and "key"'), 'expected a list of clients')
  .max(1_000, 'has more than 1000 clients')
  .prefault([]);
