import { z } from 'zod';
import { NO_FIGURES } from '../../fleet/figures.ts';
import { anyContextKey } from '../../fleet/figures-key.ts';
import { MAX_FIGURES } from '../../fleet/learn.ts';
import { MAX_BESIDE } from '../../fleet/learn-samples.ts';
import { MAX_SLOTS } from '../../fleet/learn-slots.ts';
import type { Estimate, FiguresByModel, ModelFigures, ModelKey } from '../../fleet/types.ts';

/** Of one node; with fewer the document stays far below the store's limit whatever the models are called. */
const MAX_SAVED = Math.min(256, MAX_FIGURES);
/** A model's key, and a context. */
const MAX_KEY = 512 + 16;

const positive = z.number().min(0).max(1e15);
/** Value, spread, weight, Unix ms of the last sample. */
const estimate = z.tuple([positive, positive, positive.max(1_000), positive]);
type Written = z.output<typeof estimate>;
const figures = z.object({
  key: z.string().min(1).max(MAX_KEY),
  loadMs: estimate.optional(),
  promptRate: estimate.optional(),
  answerRates: z
    .array(estimate.nullable())
    .max(MAX_BESIDE + 1)
    .default([]),
  answerTokens: estimate.optional(),
  bytesPerToken: estimate.optional(),
  heldMs: estimate.optional(),
  innerWaitMs: estimate.optional(),
  slots: z.number().int().min(1).max(MAX_SLOTS).optional(),
  defaultContext: z
    .number()
    .min(1)
    .max(2 ** 30)
    .optional(),
});

/** A node's figures in a document, the longest untouched first. */
export const figuresDocument = z.array(figures).max(MAX_SAVED);
export type FiguresDocument = z.input<typeof figuresDocument>;

export function writeFigures(known: FiguresByModel): FiguresDocument {
  return [...known].slice(-MAX_SAVED).map(([key, model]) => ({
    key,
    loadMs: written(model.loadMs),
    promptRate: written(model.promptRate),
    answerRates: model.answerRates.map((rate) => written(rate) ?? null),
    answerTokens: written(model.answerTokens),
    bytesPerToken: written(model.bytesPerToken),
    heldMs: written(model.heldMs),
    innerWaitMs: written(model.innerWaitMs),
    slots: model.slots,
    defaultContext: model.defaultContext,
  }));
}

/** `now`: Unix ms; no sample is younger, whatever the writer's clock said. */
export function readFigures(document: z.output<typeof figuresDocument>, now: number): FiguresByModel {
  const read = (figure: Written | null | undefined): Estimate | undefined => {
    if (figure === null || figure === undefined) return undefined;
    const [value, spread, weight, at] = figure;
    return value > 0 ? { value, spread, weight, at: Math.min(at, now) } : undefined;
  };
  return new Map(
    document.map((model): [string, ModelFigures] => [
      model.key,
      {
        loadMs: read(model.loadMs),
        promptRate: read(model.promptRate),
        answerRates: model.answerRates.map(read),
        answerTokens: read(model.answerTokens),
        bytesPerToken: read(model.bytesPerToken),
        heldMs: read(model.heldMs),
        innerWaitMs: read(model.innerWaitMs),
        slots: model.slots,
        defaultContext: model.defaultContext,
      },
    ]),
  );
}

/** What earlier versions wrote: how long requests took, as one sample each. `at`: Unix ms, or no number. */
export function earlierFigures(
  serviceMs: readonly (readonly [ModelKey, number])[],
  at: number,
): FiguresByModel {
  const figures = new Map<string, ModelFigures>();
  for (const [model, ms] of serviceMs) {
    if (!(ms > 0)) continue;
    const heldMs = { value: ms, spread: ms / 2, weight: 1, at: Number.isFinite(at) ? Math.max(0, at) : 0 };
    figures.set(anyContextKey(model), { ...NO_FIGURES, heldMs });
  }
  return figures;
}

/** Four digits are more than any of them is worth. */
function written(known: Estimate | undefined): Written | undefined {
  if (known === undefined) return undefined;
  const { value, spread, weight, at } = known;
  return [short(value), short(spread), short(weight), Math.round(at)];
}

function short(value: number): number {
  return Number(value.toPrecision(4));
}
