import type { Choice } from './chooser.ts';
import { figuresOf } from './tokens.ts';

/** Requests that the best node takes at once for the model; at least `known`, which routing has just found to be all right. */
export function slotsOf({ request, best, situation }: Choice, known: number): number {
  const node = situation.snapshot.byId.get(best.id);
  const slots = figuresOf(request, node)?.slots ?? node?.slots ?? 1;
  return Math.max(1, Math.floor(slots), known);
}
