import { z } from 'zod';
import {
  FAILURE_REASONS,
  type GpuReport,
  type ModelOnDisk,
  type Observation,
  type ResidentModel,
  type ServiceTimes,
} from '../../fleet/types.ts';

/**
 * What replicas tell each other about nodes, as it travels through the store. Whoever can write to the store could
 * have written it: every reader checks and bounds it all.
 */

const MAX_MODELS = 2_000;
const MAX_ITEMS = 1_000;
const MAX_GPUS = 64;
const MAX_BYTES = 2 ** 50;
const MAX_MS = 86_400_000;

/** A key that JSON left out is an undefined value again. */
export const maybe = <Schema extends z.ZodType>(schema: Schema) =>
  schema.optional().transform((value): z.output<Schema> | undefined => value);
export const nodeId = z.string().min(1).max(64);
export const modelKey = z.string().min(1).max(512);
export const bytes = z.number().min(0).max(MAX_BYTES);
export const ms = z.number().min(0).max(MAX_MS);
const text = z.string().max(512);

export const failureReason = z.enum(FAILURE_REASONS);
const details = z.object({
  parent_model: text,
  format: text,
  family: text,
  families: z.array(text).max(16).nullable(),
  parameter_size: text,
  quantization_level: text,
});
const model = { key: modelKey, name: text, digest: z.string().max(64), sizeBytes: bytes, details };
const capabilities = z.array(z.string().max(64)).max(32);
const contextTokens = z
  .number()
  .min(0)
  .max(2 ** 30);
const residentModel = z.object({
  ...model,
  vramBytes: bytes,
  contextLength: maybe(contextTokens),
  expiresAt: z.string().max(64),
}) satisfies z.ZodType<ResidentModel>;
const onDisk = z.object({
  ...model,
  modifiedAt: z.string().max(64),
  capabilities: maybe(capabilities),
  trainedContext: maybe(contextTokens),
}) satisfies z.ZodType<ModelOnDisk>;
export const residentModels = z.array(residentModel).max(MAX_MODELS);
export const modelsOnDisk = z.array(onDisk).max(MAX_MODELS);
export const address = z.string().min(3).max(64);
export const version = z.string().max(64);

const figure = maybe(z.number().min(0).max(1e15));
export const gpuReport = z.object({
  source: z.enum(['agent', 'prometheus']),
  validForMs: ms,
  gpus: z
    .array(
      z.object({
        index: z.number().int().min(0).max(1_023),
        name: text,
        vendor: z.enum(['nvidia', 'amd', 'apple', 'intel', 'other']),
        vramTotalBytes: maybe(bytes),
        vramUsedBytes: maybe(bytes),
        utilization: maybe(z.number().min(0).max(1)),
        temperatureC: maybe(z.number().min(-300).max(10_000)),
        powerW: figure,
        isThrottled: maybe(z.boolean()),
      }),
    )
    .max(MAX_GPUS),
  isUnifiedMemory: z.boolean(),
  host: maybe(
    z.object({
      memoryTotalBytes: maybe(bytes),
      memoryAvailableBytes: maybe(bytes),
      load1: figure,
      cpus: figure,
      diskFreeBytes: maybe(bytes),
    }),
  ),
  ollama: maybe(z.object({ parallel: figure, maxLoadedModels: figure, maxQueue: figure })),
}) satisfies z.ZodType<GpuReport>;

const service = z.object({
  isWork: maybe(z.boolean()),
  numCtx: maybe(contextTokens),
  promptBytes: figure,
  cachedBytes: figure,
  servedBeside: figure,
  afterFirstEndMs: figure,
  besideOthers: figure,
  endedAt: figure,
  prefixes: maybe(z.array(z.object({ hash: z.number(), bytes: z.number().min(0) })).max(16)),
  concurrency: z.number().int().min(1).max(1e6),
  wasWarm: z.boolean(),
  firstByteMs: maybe(ms),
  totalMs: ms,
  loadMs: maybe(ms),
  promptEvalMs: maybe(ms),
  evalMs: maybe(ms),
  promptTokens: figure,
  completionTokens: figure,
}) satisfies z.ZodType<ServiceTimes>;
const revision = z.string().max(64);

const news = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('address'), address, hosts: z.array(z.string().max(64)).max(16) }),
  z.object({ kind: z.literal('resident'), models: residentModels, rttMs: ms, revision }),
  z.object({ kind: z.literal('tags'), models: modelsOnDisk, rttMs: ms, revision }),
  /** The list is still that of this revision. */
  z.object({ kind: z.literal('same'), list: z.enum(['resident', 'tags']), rttMs: ms, revision }),
  z.object({ kind: z.literal('version'), version }),
  z.object({
    kind: z.literal('capabilities'),
    digest: z.string().min(1).max(64),
    capabilities,
    trainedContext: maybe(contextTokens),
  }),
  z.object({ kind: z.literal('gpu'), report: gpuReport }),
  z.object({ kind: z.literal('poll_failed'), reason: failureReason, detail: text }),
  z.object({
    kind: z.literal('attempt_failed'),
    model: modelKey,
    reason: failureReason,
    retryAfterMs: maybe(ms),
    fingerprint: maybe(z.string().max(64)),
  }),
  z.object({ kind: z.literal('attempt_served'), model: modelKey, service }),
]);

/** Body of a message on `observations`. */
export const observationsSchema = z.object({
  /** What was seen, in order: node and observation. */
  news: z
    .array(z.tuple([nodeId, news]))
    .max(MAX_ITEMS)
    .default([]),
  /** Nodes whose lists the sender has missed: whoever polls them sends both in full again. */
  missed: z.array(nodeId).max(10_000).default([]),
});

export type News = z.output<typeof news>;

/** Observations that mean the same to every replica; drains are told as documents. */
export type SharedObservation = Exclude<Observation, { kind: 'drains' }>;
