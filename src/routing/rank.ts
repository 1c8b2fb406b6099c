import type { Candidates } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import { allowedOf } from './allowed.ts';
import { Contest } from './contest.ts';
import { unobservedNodes } from './filters.ts';
import { modelNotFound, noNodeFor } from './refusals.ts';
import type { Ranking, Situation } from './types.ts';

/**
 * The nodes that Envoy shall try, best first: those that may take the request, by expected seconds.
 * Pure; throws RouterError `model_not_found` or `no_node`. `situation.inflight` must already count the leases of all earlier
 * decisions, or a burst goes to one node.
 */
export function rank(request: RouteRequest, situation: Situation): Ranking {
  const { snapshot, params } = situation;
  const { byModel } = snapshot;
  const { among } = request;
  const compete = (candidates: Candidates, isResort: boolean): Ranking =>
    new Contest(request, situation, isResort).run(candidates);
  const known = byModel.candidates(request.model.key);
  if (known !== undefined) {
    const candidates = allowedOf(known, among);
    const ranking = compete(candidates, false);
    if (ranking.nodes.length > 0) return ranking;
    const resort = compete(candidates, true);
    if (resort.nodes.length > 0) return resort;
    if (among === undefined) throw noNodeFor(request, params, byModel.get(request.model.key));
  }
  // No tag list has the model: it is unknown for certain only when there is nobody left to ask.
  const unobserved = unobservedNodes(snapshot, among);
  const ranking = compete(unobserved, true);
  if (ranking.nodes.length > 0) return ranking;
  if (known !== undefined || unobserved.isNobodySeen) throw noNodeFor(request, params);
  throw modelNotFound(request);
}
