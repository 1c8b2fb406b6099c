import { anyContextKey, figuresKey } from './figures-key.ts';
import type { Estimate, ModelFigures, ModelKey, NodeView } from './types.ts';

export const NO_FIGURES: ModelFigures = {
  loadMs: undefined,
  promptRate: undefined,
  answerRates: [],
  answerTokens: undefined,
  bytesPerToken: undefined,
  heldMs: undefined,
  innerWaitMs: undefined,
  slots: undefined,
  defaultContext: undefined,
};

/** From so many samples on a figure is believed alone. */
const SURE_WEIGHT = 6;
/** Half of a figure comes from what was believed before at the square root of this weight. */
const DOUBT = 0.3;

/** It is believed, whatever else is known. */
export function isSure(estimate: Estimate | undefined): estimate is Estimate {
  return estimate !== undefined && estimate.weight >= SURE_WEIGHT && estimate.value > 0;
}

/** How far an estimate is to be believed, 0 to 1. One sample says most of it: nothing else is as near to the truth. */
export function confidenceIn(estimate: Estimate | undefined): number {
  if (estimate === undefined) return 0;
  const { weight } = estimate;
  return weight >= SURE_WEIGHT ? 1 : (weight * weight) / (weight * weight + DOUBT);
}

/** `prior` as the estimate corrects it, by ratio: of 10 and 1,000 half is 100. Both are positive. */
export function refined(prior: number, estimate: Estimate | undefined): number {
  if (estimate === undefined || !(estimate.value > 0)) return prior;
  const confidence = confidenceIn(estimate);
  if (confidence === 1) return estimate.value;
  if (!(prior > 0)) return estimate.value;
  const between = prior * (estimate.value / prior) ** confidence;
  return between > 0 && between < Number.POSITIVE_INFINITY ? between : prior;
}

/**
 * Requests that the node runs at once for the model. What the configuration or an agent says holds for all models;
 * learnt slots are those of the model, where it has shown its own (some families run one request at a time, whatever
 * the node is set to).
 */
export function slotsFor(node: NodeView, model: ModelKey, context: number | undefined): number {
  if (node.slotsSource !== 'learnt') return Math.max(1, node.slots);
  const own =
    node.figures.get(figuresKey(model, context))?.slots ?? node.figures.get(anyContextKey(model))?.slots;
  return Math.max(1, own ?? node.slots);
}
