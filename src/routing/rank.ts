import type { FleetSnapshot, NodeView } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import { costOf, reasonOf, totalSeconds } from './cost.ts';
import { type Facts, factsOf, weightOf } from './facts.ts';
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
  if (knowing !== undefined) {
    const ranking = rankAmong(knowing, false, request, inflight, params, random, now);
    if (ranking.nodes.length > 0) return ranking;
    const resort = rankAmong(knowing, true, request, inflight, params, random, now);
    if (resort.nodes.length > 0) return resort;
    throw noNodeFor(request, params);
  }
  // No tag list has the model: it is unknown for certain only when there is nobody left to ask.
  const unobserved = unobservedNodes(snapshot);
  const ranking = rankAmong(unobserved, true, request, inflight, params, random, now);
  if (ranking.nodes.length > 0) return ranking;
  throw unobserved.length === snapshot.nodes.length ? noNodeFor(request, params) : modelNotFound(request);
}

function rankAmong(
  nodes: readonly NodeView[],
  isResort: boolean,
  request: RouteRequest,
  inflight: Inflight,
  params: RoutingParams,
  random: Random,
  now: number,
): Ranking {
  const attempts = Math.max(1, params.maxAttempts);
  const settled = new Shortlist<Candidate>(attempts, random);
  const cold = new Shortlist<Candidate>(attempts, random);
  const rejected: { id: string; reason: RejectReason }[] = [];
  const quickestLoad = params.loadStartSeconds * params.loadLeftShare;
  const needsModel = request.endpoint.operation !== 'show';
  const offset = nodes.length > params.maxColdNodes ? Math.floor(random() * nodes.length) : 0;
  let loads = 0;
  let coldSeen = 0;
  for (let i = 0; i < nodes.length; i += 1) {
    const node = nodes[(i + offset) % nodes.length];
    if (node === undefined) continue;
    const reason = rejectReason(request, node, inflight, now);
    if (reason !== undefined && !(isResort && isLastResort(reason))) {
      if (rejected.length < MAX_REJECTED) rejected.push({ id: node.id, reason });
      continue;
    }
    if (needsModel && !node.warm.has(request.model.key)) {
      // Nodes that cannot get into the list any more are passed over before they cost anything.
      if (settled.worst < quickestLoad / weightOf(node) - 0.01) continue;
      coldSeen += 1;
      if (coldSeen > params.maxColdNodes && inflight.onModel(node.id, request.model.key) === 0) continue;
    }
    const facts = factsOf(request, node, inflight, params, now);
    const terms = costOf(facts, request, inflight, params, now);
    if (facts.state === 'loading') loads += 1;
    const list = facts.state === 'cold' ? cold : settled;
    list.offer({ facts, terms }, totalSeconds(terms));
  }
  const extraSeconds = loads >= params.maxParallelLoads ? params.extraLoadSeconds : 0;
  settled.absorb(cold, extraSeconds);
  const chosen = settled.items.map(({ facts, terms }, i): RankedNode => {
    const isExtra = extraSeconds > 0 && facts.state === 'cold';
    return {
      id: facts.node.id,
      address: facts.node.address ?? '',
      seconds: settled.seconds[i] ?? 0,
      terms: isExtra ? { ...terms, load: terms.load + extraSeconds } : terms,
      reason: isResort ? 'last_resort' : reasonOf(facts, params, now),
      isWarm: facts.state === 'warm',
    };
  });
  noteListFull(rejected, nodes, chosen);
  return { nodes: chosen, rejected };
}

/** Names those that were left out for nothing but the length of the list. */
function noteListFull(
  rejected: { id: string; reason: RejectReason }[],
  nodes: readonly NodeView[],
  chosen: readonly RankedNode[],
): void {
  if (chosen.length === 0 || rejected.length + chosen.length >= nodes.length) return;
  const unfit = new Set(rejected.map(({ id }) => id));
  for (const { id } of nodes) {
    if (rejected.length >= MAX_REJECTED) return;
    if (unfit.has(id) || chosen.some((ranked) => ranked.id === id)) continue;
    rejected.push({ id, reason: 'list_full' });
  }
}
