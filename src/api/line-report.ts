import { z } from 'zod';
import type { ShadowReport } from '../app/shadow.ts';
import type { GuardFigures, RecordingFigures } from '../app/telemetry-port.ts';
import type { LineReport } from '../waiting/types.ts';

const shares = z.array(z.object({ name: z.string(), waiting: z.number(), oldestMs: z.number() }));

/** The waiting line, see LineReport. */
export const lineSchema = z.object({
  length: z.number(),
  bytes: z.number(),
  oldestMs: z.number().nullable(),
  byClass: z.object({ interactive: z.number(), normal: z.number(), batch: z.number() }),
  byReason: z.object({ slots_busy: z.number(), loading: z.number(), no_room: z.number() }),
  byModel: shares,
  byCaller: shares,
});
export type LineShown = z.infer<typeof lineSchema>;

/** What a second policy would have done, see ShadowReport. */
export const shadowSchema = z.object({
  policy: z.string(),
  isOff: z.boolean(),
  asked: z.number(),
  agreed: z.number(),
  meanRegretSeconds: z.number().nullable(),
  realSecondsAgreed: z.number().nullable(),
  realSecondsDiffered: z.number().nullable(),
});
export type ShadowShown = z.infer<typeof shadowSchema>;

export const guardSchema = z.object({
  /** Requests refused so far, and bodies that are refused now. */
  refusals: z.number(),
  refusedBodies: z.number(),
});
export const recordingSchema = z.object({ written: z.number(), dropped: z.number() });

/** How the guard against killing requests stands. */
export interface GuardReport extends GuardFigures {
  readonly refusedBodies: number;
}
export type { RecordingFigures };

export function lineShown(report: LineReport): LineShown {
  return {
    length: report.length,
    bytes: report.bytes,
    oldestMs: report.oldestMs ?? null,
    byClass: { ...report.byClass },
    byReason: { ...report.byReason },
    byModel: report.byModel.map((share) => ({ ...share })),
    byCaller: report.byCaller.map((share) => ({ ...share })),
  };
}

export function shadowShown(report: ShadowReport): ShadowShown {
  return {
    ...report,
    meanRegretSeconds: report.meanRegretSeconds ?? null,
    realSecondsAgreed: report.realSecondsAgreed ?? null,
    realSecondsDiffered: report.realSecondsDiffered ?? null,
  };
}
