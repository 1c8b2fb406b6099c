import { slotsFor } from '../../fleet/figures.ts';
import type { Choice } from './chooser.ts';

/** Requests that the best node takes at once for the model; at least `known`, which routing has just found to be all right. */
export function slotsOf({ request, best, situation }: Choice, known: number): number {
  const node = situation.snapshot.byId.get(best.id);
  const slots = node === undefined ? 1 : slotsFor(node, request.model.key, request.numCtx);
  return Math.max(Math.floor(slots), known);
}
