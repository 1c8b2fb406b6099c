import { RouterError } from '../../request/errors.ts';
import type { RouteRequest } from '../../request/types.ts';
import { rejections } from '../../routing/rejections.ts';
import type { Ranking, Situation } from '../../routing/types.ts';
import type { Chooser, Wish } from './chooser.ts';

/** What would become of a request now, for people. */
export interface Verdict {
  /** Its model is the one that would serve; where none can, the one asked for. */
  readonly request: RouteRequest;
  /** Who would be tried, and why nobody else; without nodes where none can take it. */
  readonly ranking: Ranking;
  /** Undefined: there are nodes to try. */
  readonly refusal: RouterError | undefined;
}

/** Asks all nodes, where a decision asks a few: names at most `maxRejected` of those left out. No lease, no trace. */
export function verdictOf(chooser: Chooser, wish: Wish, maxRejected: number): Verdict {
  let request = wish.request;
  let ranking: Ranking = { nodes: [], rejected: [] };
  let situation: Situation;
  let refusal: RouterError | undefined;
  try {
    ({ request, ranking, situation } = chooser.choose(wish));
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    refusal = error;
    situation = chooser.situation(wish.random, wish.ahead);
  }
  const { snapshot, inflight, now } = situation;
  const rejected = rejections(request, snapshot, inflight, ranking, maxRejected, now);
  return { request, ranking: { nodes: ranking.nodes, rejected }, refusal };
}
