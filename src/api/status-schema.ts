import { z } from 'zod';
import { extProcSchema } from './ext-proc-shown.ts';
import { gpuReport, slotsFigure, vramFigure } from './gpu-report.ts';
import { learntSchema } from './learnt-report.ts';
import { guardSchema, lineSchema, recordingSchema, shadowSchema } from './line-report.ts';
import { drainReport } from './nodes-schema.ts';
import { sharingSchema } from './sharing-report.ts';

const warmModel = z.object({
  name: z.string(),
  vramBytes: z.number(),
  sizeBytes: z.number(),
  contextLength: z.number().nullable(),
  expiresAt: z.string(),
  inflight: z.number(),
});

const node = z.object({
  name: z.string(),
  status: z.enum(['unknown', 'ready', 'suspect', 'down', 'draining']),
  /** ISO 8601 of the last change of status. */
  since: z.string(),
  url: z.string(),
  address: z.string().nullable(),
  version: z.string().nullable(),
  /** Below 1 while a recovered node is eased back in. */
  admission: z.number(),
  weight: z.number(),
  labels: z.record(z.string(), z.string()),
  lastFailure: z.object({ reason: z.string(), detail: z.string(), at: z.string() }).nullable(),
  failureRate: z.number(),
  models: z.array(z.string()),
  warm: z.array(warmModel),
  slots: slotsFigure,
  vram: vramFigure,
  /** What its GPUs and its machine look like; null where nobody ever told. */
  gpu: gpuReport.nullable(),
  inflight: z.number(),
  /** How its models did lately. */
  learnt: z.array(learntSchema),
  /** Why it drains; empty where it does not. */
  drains: z.array(drainReport),
  rttMs: z.number().nullable(),
  /** Since the last good answer of /api/ps. */
  pollAgeMs: z.number().nullable(),
  /** Id of the replica that polls it; null where that is not known now. */
  poller: z.string().nullable(),
});

/** What `GET /status` answers; `warmpath status` reads the same. Times are ISO 8601. */
export const statusSchema = z.object({
  version: z.string(),
  replica: z.string(),
  at: z.string(),
  startedAt: z.string(),
  uptimeSeconds: z.number(),
  listen: z.string().nullable(),
  /** Where this report is served. */
  admin: z.string(),
  isReady: z.boolean(),
  unready: z.array(z.string()),
  alarms: z.array(z.object({ code: z.string(), message: z.string(), since: z.string() })),
  envoy: z
    .object({ version: z.string().nullable(), pid: z.number().nullable(), restarts: z.number().nullable() })
    .nullable(),
  /** For whom ext_proc answers, and how it is asked; null: that is not known. */
  extProc: extProcSchema.nullable().default(null),
  sharing: sharingSchema,
  snapshotVersion: z.number(),
  /** Requests that wait for a slot in this process. */
  line: lineSchema,
  /** The second policy that is asked beside ours; null: there is none. */
  shadow: shadowSchema.nullable(),
  /** Requests whose body kills nodes. */
  guard: guardSchema,
  /** Lines written to `decisions.record`; null: nothing is recorded. */
  recording: recordingSchema.nullable(),
  nodes: z.array(node),
  /** Newest first; see DecisionRecord. */
  decisions: z.array(z.looseObject({ id: z.string() })),
});

export type StatusReport = z.infer<typeof statusSchema>;
export type NodeReport = StatusReport['nodes'][number];
