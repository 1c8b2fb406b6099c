import type { FleetSnapshot, NodeId, NodeStatus } from '../fleet/types.ts';
import { type ErrorCode, RouterError } from '../request/errors.ts';
import type { RouteRequest } from '../request/types.ts';
import { costOf, reasonOf, totalSeconds } from './cost.ts';
import { factsOf, type ModelState } from './facts.ts';
import { rejectReason } from './filters.ts';
import type { RoutingParams } from './params.ts';
import { perTryTimeoutMs } from './per-try.ts';
import type { Random } from './random.ts';
import { rank } from './rank.ts';
import type { CostTerms, Inflight, PickReason, Ranking, RejectReason } from './types.ts';

/** What would be done with a request now, and how every node looks to it. Plain data: others render it. */
export interface Explanation {
  readonly ranking: Ranking | undefined;
  /** Why there is no ranking. */
  readonly refusal: { readonly code: ErrorCode; readonly message: string } | undefined;
  readonly perTryTimeoutMs: number | undefined;
  /** Every node, the ranked ones first and in their order, the others by cost. */
  readonly nodes: readonly ExplainedNode[];
}

export interface ExplainedNode {
  readonly id: NodeId;
  readonly status: NodeStatus;
  readonly knowsModel: boolean;
  readonly state: ModelState;
  readonly onNode: number;
  readonly onModel: number;
  readonly slots: number;
  readonly admission: number;
  readonly failureRate: number;
  readonly sizeBytes: number;
  readonly seconds: number;
  readonly terms: CostTerms;
  readonly reason: PickReason;
  /** Position in the ranking, from 1; undefined: not in it. */
  readonly rank: number | undefined;
  readonly rejected: RejectReason | undefined;
}

/** The same decision as `rank` makes, told in full. Takes no lease; not for the request path. */
export function explain(
  request: RouteRequest,
  snapshot: FleetSnapshot,
  inflight: Inflight,
  params: RoutingParams,
  random: Random,
  now: number,
): Explanation {
  const outcome = tryRank(request, snapshot, inflight, params, random, now);
  const { ranking } = outcome;
  const knowing = new Set(snapshot.byModel.get(request.model.key)?.map((node) => node.id));
  const nodes = snapshot.nodes.map((node): ExplainedNode => {
    const facts = factsOf(request, node, inflight, params, now);
    const at = ranking?.nodes.findIndex((ranked) => ranked.id === node.id) ?? -1;
    const ranked = ranking?.nodes[at];
    const terms = ranked?.terms ?? costOf(facts, request, inflight, params, now);
    const knowsModel = knowing.has(node.id);
    return {
      id: node.id,
      status: node.status,
      knowsModel,
      state: facts.state,
      onNode: facts.onNode,
      onModel: facts.onModel,
      slots: node.slots,
      admission: node.admission,
      failureRate: node.failureRate,
      sizeBytes: facts.sizeBytes,
      seconds: ranked?.seconds ?? totalSeconds(terms),
      terms,
      reason: ranked?.reason ?? reasonOf(facts, params, now),
      rank: at < 0 ? undefined : at + 1,
      rejected:
        at >= 0
          ? undefined
          : knowsModel
            ? (rejectReason(request, node, inflight, now) ?? 'list_full')
            : 'model_unknown',
    };
  });
  nodes.sort((a, b) => order(a) - order(b) || a.seconds - b.seconds);
  return {
    ...outcome,
    perTryTimeoutMs: ranking === undefined ? undefined : perTryTimeoutMs(request, ranking, params),
    nodes,
  };
}

function tryRank(
  ...args: Parameters<typeof rank>
): { ranking: Ranking; refusal: undefined } | { ranking: undefined; refusal: Explanation['refusal'] } {
  try {
    return { ranking: rank(...args), refusal: undefined };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return { ranking: undefined, refusal: { code: error.code, message: error.message } };
  }
}

function order(node: ExplainedNode): number {
  if (node.rank !== undefined) return node.rank;
  return node.knowsModel ? 1e6 : 2e6;
}
