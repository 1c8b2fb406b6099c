import { z } from 'zod';
import { anyContextKey } from '../fleet/figures-key.ts';
import type { Estimate, NodeView } from '../fleet/types.ts';

const figure = z.number().nullable();

/** What was learnt of a model on a node, over all its contexts; null: not seen yet. */
export const learntSchema = z.object({
  model: z.string(),
  loadSeconds: figure,
  promptTokensPerSecond: figure,
  /** Of one answer, by how many ran at once: alone first. */
  answerTokensPerSecond: z.array(figure),
  answerTokens: figure,
  bytesPerToken: figure,
  heldSeconds: figure,
  innerWaitSeconds: figure,
  slots: figure,
  defaultContext: figure,
  /** Samples behind the best known of these, faded with age. */
  samples: z.number(),
  /** ISO 8601 of the last one. */
  at: z.string().nullable(),
});
export type LearntShown = z.infer<typeof learntSchema>;

/** By name; models of which nothing was learnt are left out. */
export function learntReports(view: NodeView | undefined): LearntShown[] {
  if (view === undefined || view.figures.size === 0) return [];
  const reports: LearntShown[] = [];
  for (const model of [...view.models.keys()].sort()) {
    const figures = view.figures.get(anyContextKey(model)) ?? view.figures.get(model);
    if (figures === undefined) continue;
    const { loadMs, promptRate, answerRates, answerTokens, bytesPerToken, heldMs, innerWaitMs } = figures;
    const all = [loadMs, promptRate, ...answerRates, answerTokens, bytesPerToken, heldMs, innerWaitMs];
    const known = all.filter((estimate) => estimate !== undefined);
    reports.push({
      model,
      loadSeconds: seconds(loadMs),
      promptTokensPerSecond: promptRate?.value ?? null,
      answerTokensPerSecond: answerRates.map((rate) => rate?.value ?? null),
      answerTokens: answerTokens?.value ?? null,
      bytesPerToken: bytesPerToken?.value ?? null,
      heldSeconds: seconds(heldMs),
      innerWaitSeconds: seconds(innerWaitMs),
      slots: figures.slots ?? null,
      defaultContext: figures.defaultContext ?? null,
      samples: Math.max(0, ...known.map(({ weight }) => weight)),
      at: known.length === 0 ? null : new Date(Math.max(...known.map(({ at }) => at))).toISOString(),
    });
  }
  return reports;
}

function seconds(estimate: Estimate | undefined): number | null {
  return estimate === undefined ? null : estimate.value / 1000;
}
