import type { FleetSnapshot, NodeView } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import { costOf, reasonOf, totalSeconds } from './cost.ts';
import { type Facts, factsOf } from './facts.ts';
import { isLastResort, rejectReason, unobservedNodes } from './filters.ts';
import type { RoutingParams } from './params.ts';
import type { Random } from './random.ts';
import { modelNotFound, noNodeFor } from './refusals.ts';
import { Shortlist } from './shortlist.ts';
import type { CostTerms, Inflight, RankedNode, Ranking, RejectReason } from './types.ts';

/** A ranking explains itself, but its memory is bounded: `explain` tells of all nodes. */
const MAX_REJECTED = 16;

interface Candidate {
  readonly facts: Facts;
  readonly terms: CostTerms;
}

/**
 * The nodes that Envoy shall try, best first: those that may take the request, by expected seconds to the first token.
 * Pure; throws RouterError `model_not_found` or `no_node`. `inflight` must already count the leases of all earlier
 * decisions, or a burst goes to one node.
 */
export function rank(
  request: RouteRequest,
  snapshot: FleetSnapshot,
  inflight: Inflight,
  params: RoutingParams,
  random: Random,
  now: number,
): Ranking {
  const knowing = snapshot.byModel.get(request.model.key);
  if (knowing === undefined) return rankUnobserved(request, snapshot, inflight, params, random, now);

  const rejected: { id: string; reason: RejectReason }[] = [];
  const fit: NodeView[] = [];
  for (const node of knowing) {
    const reason = rejectReason(request, node, inflight, now);
    if (reason === undefined) fit.push(node);
    else if (rejected.length < MAX_REJECTED) rejected.push({ id: node.id, reason });
  }
  if (fit.length > 0) {
    const nodes = best(request, fit, inflight, params, random, now, false);
    noteListFull(rejected, fit, nodes);
    return { nodes, rejected };
  }
  const resort = knowing.filter((node) => isLastResort(rejectReason(request, node, inflight, now)));
  if (resort.length === 0) throw noNodeFor(request, params);
  const nodes = best(request, resort, inflight, params, random, now, true);
  const unfit = rejected.filter(({ reason }) => !isLastResort(reason));
  noteListFull(unfit, resort, nodes);
  return { nodes, rejected: unfit };
}

/** No tag list has the model: it is unknown for certain only when there is nobody left to ask. */
function rankUnobserved(
  request: RouteRequest,
  snapshot: FleetSnapshot,
  inflight: Inflight,
  params: RoutingParams,
  random: Random,
  now: number,
): Ranking {
  const isFleetUnseen = snapshot.nodes.every((node) => node.tagsAt === undefined);
  const usable = unobservedNodes(snapshot).filter((node) =>
    isLastResort(rejectReason(request, node, inflight, now)),
  );
  if (usable.length === 0) throw isFleetUnseen ? noNodeFor(request, params) : modelNotFound(request);
  return { nodes: best(request, usable, inflight, params, random, now, true), rejected: [] };
}

function best(
  request: RouteRequest,
  nodes: readonly NodeView[],
  inflight: Inflight,
  params: RoutingParams,
  random: Random,
  now: number,
  isResort: boolean,
): RankedNode[] {
  const attempts = Math.max(1, params.maxAttempts);
  const settled = new Shortlist<Candidate>(attempts, random);
  const cold = new Shortlist<Candidate>(attempts, random);
  let loads = 0;
  for (const node of nodes) {
    const facts = factsOf(request, node, inflight, params, now);
    const terms = costOf(facts, request, inflight, params, now);
    if (facts.state === 'loading') loads += 1;
    const list = facts.state === 'cold' ? cold : settled;
    list.offer({ facts, terms }, totalSeconds(terms));
  }
  const extraSeconds = loads >= params.maxParallelLoads ? params.extraLoadSeconds : 0;
  settled.absorb(cold, extraSeconds);
  return settled.items.map(({ facts, terms }, i) => ({
    id: facts.node.id,
    address: facts.node.address ?? '',
    seconds: settled.seconds[i] ?? 0,
    terms: facts.state === 'cold' && extraSeconds > 0 ? { ...terms, load: terms.load + extraSeconds } : terms,
    reason: isResort ? 'last_resort' : reasonOf(facts, params, now),
    isWarm: facts.state === 'warm',
  }));
}

function noteListFull(
  rejected: { id: string; reason: RejectReason }[],
  candidates: readonly NodeView[],
  chosen: readonly RankedNode[],
): void {
  if (candidates.length === chosen.length) return;
  for (const { id } of candidates) {
    if (rejected.length >= MAX_REJECTED) return;
    if (!chosen.some((ranked) => ranked.id === id)) rejected.push({ id, reason: 'list_full' });
  }
}
