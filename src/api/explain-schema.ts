import { z } from 'zod';
import { PICK_REASONS } from '../app/pick-reasons.ts';
import type { RejectReason } from '../routing/types.ts';
import type { ExplanationReport } from './explain-report.ts';
import { slotsFigure, vramFigure } from './gpu-report.ts';

// A record rather than a list: a reason that is missing here does not compile.
const rejectReasons: { [Reason in RejectReason]: Reason } = {
  model_unknown: 'model_unknown',
  down: 'down',
  draining: 'draining',
  no_address: 'no_address',
  stuck: 'stuck',
  not_allowed: 'not_allowed',
  list_full: 'list_full',
};

const terms = z.object({
  roundTrip: z.number(),
  slotWait: z.number(),
  load: z.number(),
  prompt: z.number(),
  answer: z.number(),
  eviction: z.number(),
  trust: z.number(),
});
const ranked = z.object({
  id: z.string(),
  address: z.string(),
  seconds: z.number(),
  firstTokenSeconds: z.number(),
  completionSeconds: z.number(),
  heldSeconds: z.number(),
  terms,
  reason: z.enum(PICK_REASONS),
  isWarm: z.boolean(),
  startsNow: z.boolean(),
  cachedBytes: z.number(),
});

/** See Ranking. */
export const rankingSchema = z.object({
  nodes: z.array(ranked),
  rejected: z.array(z.object({ id: z.string(), reason: z.enum(rejectReasons) })),
});

/** What `GET /explain` answers; `warmpath explain` reads the same. */
export const explanationSchema: z.ZodType<ExplanationReport> = z.object({
  model: z.string(),
  target: z.string(),
  path: z.string(),
  refusal: z.object({ code: z.string(), message: z.string() }).optional(),
  waiting: z.number(),
  ranking: rankingSchema,
  figures: z.array(z.object({ id: z.string(), slots: slotsFigure, vram: vramFigure })),
});
