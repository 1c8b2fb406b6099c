import type { NodeView } from '../../fleet/types.ts';
import type { RivalSituation } from './types.ts';

/**
 * The node of `situation.fit` with the lowest `score`; among equals the first. Nodes of which `score` answers undefined are
 * left out unless it leaves all of them out.
 */
export function lowest(situation: RivalSituation, score: (node: NodeView) => number | undefined): NodeView {
  let best = first(situation);
  let bestScore = Number.POSITIVE_INFINITY;
  for (const node of situation.fit) {
    const value = score(node);
    if (value === undefined || !(value < bestScore)) continue;
    best = node;
    bestScore = value;
  }
  return best;
}

/** `fit` is never empty: that is the contract of whoever asks. */
export function first({ fit }: RivalSituation): NodeView {
  const node = fit[0];
  if (node === undefined) throw new RangeError('a rival policy was asked to choose among no nodes');
  return node;
}
