import * as z from 'zod';
import type { NodeUrl } from '../fleet/types.ts';
import { duration } from './duration.ts';
import { gpuMetricsUrl } from './gpu-metrics-url.ts';
import { parseNodeUrl } from './node-url.ts';
import { flag, labelKey, name, number, text, whole } from './schema-values.ts';
import { size } from './size.ts';

export const MAX_NODES = 10_000;

/** A token travels in a header: visible ASCII without blanks. `${VAR}` has been replaced before. */
export const TOKEN = /^[\x21-\x7e]{1,4096}$/;

export const gpuMetricsKeys = {
  url: gpuMetricsUrl,
  /** Only samples with these labels are this node's. */
  match: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, 'is no name of a Prometheus label'),
      z
        .string('expected a text; put numbers and true or false in quotes')
        .max(256, 'has more than 256 characters'),
      'expected a section of LABEL: VALUE',
    )
    .refine((labels) => Object.keys(labels).length <= 16, 'has more than 16 labels')
    .prefault({}),
  interval: duration({ min: '500ms', max: '10m' }).prefault('5s'),
};
export const nodeKeys = {
  name: name.optional(),
  url: z.string('expected a URL such as "http://gpu1:11434"').transform((value, context): NodeUrl => {
    const result = parseNodeUrl(value);
    if ('url' in result) return result.url;
    context.issues.push({ code: 'custom', message: result.problem, input: value });
    return z.NEVER;
  }),
  token: z
    .string('expected a text')
    .regex(TOKEN, 'expected visible ASCII characters without blanks')
    .optional(),
  tokenFile: text('a path').optional(),
  tlsCa: text('a path').optional(),
  slots: whole(1, 4_096).optional(),
  vram: size({ min: '1MiB', max: '1024TiB' }).optional(),
  labels: z
    .record(
      labelKey,
      z
        .string('expected a text; put numbers and true or false in quotes')
        .max(256, 'has more than 256 characters'),
      'expected a section of KEY: VALUE',
    )
    .refine((labels) => Object.keys(labels).length <= 64, 'has more than 64 labels')
    .prefault({}),
  weight: number('a number from 0.01 to 100', 0.01, 100).prefault(1),
  drain: flag.prefault(false),
  gpuMetrics: z.strictObject(gpuMetricsKeys, 'expected a section with a "url"').optional(),
};
export const nodeSchema = z.strictObject(nodeKeys, 'expected a section with a "url"');
/** A node as the file has it, each value valid by itself. */
export type NodeInput = z.output<typeof nodeSchema>;
