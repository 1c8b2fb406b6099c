import type { Candidates, FleetSnapshot, NodeView } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import { costOf, reasonOf, totalSeconds } from './cost.ts';
import { type Facts, factsOf, weightOf } from './facts.ts';
import { isLastResort, rejectReason } from './filters.ts';
import type { RoutingParams } from './params.ts';
import type { Random } from './random.ts';
import { visitSome } from './sample.ts';
import { Shortlist } from './shortlist.ts';
import type { CostTerms, Inflight, RankedNode, Ranking, RejectReason } from './types.ts';

/** A ranking explains itself, but its memory is bounded: `explain` tells of all nodes. */
const MAX_REJECTED = 16;

interface Entry {
  readonly facts: Facts;
  readonly terms: CostTerms;
}

interface Rules {
  readonly request: RouteRequest;
  readonly inflight: Inflight;
  readonly params: RoutingParams;
  readonly random: Random;
  readonly now: number;
  /** Nodes that are down or stuck may compete too. */
  readonly isResort: boolean;
}

/**
 * One ranking among the nodes that know a model. Those that have it in memory come first, then those that load it, then
 * the cold ones, as soon as they can still get into the list at all. Up to `maxWarmNodes` and `maxColdNodes` of each
 * kind all are looked at, and nothing is missed; beyond, chance chooses so many that may take the request.
 */
export class Contest {
  readonly #rules: Rules;
  readonly #settled: Shortlist<Entry>;
  readonly #cold: Shortlist<Entry>;
  readonly #rejected: { id: string; reason: RejectReason }[] = [];
  /** The least that a load costs on a node of weight 1. */
  readonly #quickestLoad: number;
  #loads = 0;

  constructor(rules: Rules) {
    const { params, random } = rules;
    const attempts = Math.max(1, params.maxAttempts);
    this.#rules = rules;
    this.#settled = new Shortlist(attempts, random);
    this.#cold = new Shortlist(attempts, random);
    this.#quickestLoad = params.loadStartSeconds * params.loadLeftShare;
  }

  /** `heaviest`: no node's weight is larger. */
  run(candidates: Candidates, byId: FleetSnapshot['byId'], heaviest: number): Ranking {
    if (this.#rules.request.endpoint.operation === 'show') this.#visitAny(candidates);
    else this.#visitAll(candidates, byId, heaviest);
    return this.#result(candidates);
  }

  /** The operation needs no loaded model: all nodes are of one kind. */
  #visitAny({ nodes, knowing }: Candidates): void {
    const { params, random } = this.#rules;
    visitSome(knowing, params.maxColdNodes, random, (at) => this.#enter(nodes[at]));
  }

  #visitAll({ nodes, knowing, warm }: Candidates, byId: FleetSnapshot['byId'], heaviest: number): void {
    const { request, inflight, params, random } = this.#rules;
    const { key } = request.model;
    visitSome(warm, params.maxWarmNodes, random, (at) => this.#enter(nodes[at]));
    const isSampled = knowing.length > params.maxColdNodes;
    // Nodes that cannot get into the list any more are passed over before they cost anything.
    if (isSampled && this.#isBeyond(heaviest > 0 ? heaviest : 1)) return;
    if (isSampled) this.#visitLoading(byId);
    visitSome(knowing, params.maxColdNodes, random, (at) => {
      const node = nodes[at];
      if (node === undefined || node.warm.has(key)) return false;
      if (this.#isBeyond(weightOf(node))) return this.#rejectReason(node) === undefined;
      if (isSampled && inflight.onModel(node.id, key) > 0) return false;
      return this.#enter(node);
    });
  }

  /** A sample of the cold nodes would miss most of the few that load the model now. */
  #visitLoading(byId: FleetSnapshot['byId']): void {
    const { request, inflight, params } = this.#rules;
    const { key } = request.model;
    const seen = new Set<NodeView>();
    let left = params.maxLoadingNodes;
    for (const id of inflight.nodesRunning(key)) {
      if (left === 0) return;
      left -= 1;
      const node = byId.get(id);
      if (node === undefined || node.warm.has(key) || seen.has(node)) continue;
      if (inflight.onModel(id, key) === 0) continue;
      seen.add(node);
      this.#enter(node);
    }
  }

  /** False where the node must not take the request. */
  #enter(node: NodeView | undefined): boolean {
    if (node === undefined || this.#rejectReason(node) !== undefined) return false;
    const { request, inflight, params, now } = this.#rules;
    const facts = factsOf(request, node, inflight, params, now);
    const terms = costOf(facts, request, inflight, params, now);
    if (facts.state === 'loading') this.#loads += 1;
    const list = facts.state === 'cold' ? this.#cold : this.#settled;
    list.offer({ facts, terms }, totalSeconds(terms));
    return true;
  }

  #rejectReason(node: NodeView): RejectReason | undefined {
    const { request, inflight, now, isResort } = this.#rules;
    const reason = rejectReason(request, node, inflight, now);
    if (reason === undefined || (isResort && isLastResort(reason))) return undefined;
    if (this.#rejected.length < MAX_REJECTED) this.#rejected.push({ id: node.id, reason });
    return reason;
  }

  /** Whether the list is full of nodes that cost less than any load on a node of this weight. */
  #isBeyond(weight: number): boolean {
    return this.#settled.worst < this.#quickestLoad / weight - 0.01;
  }

  #result({ nodes, knowing }: Candidates): Ranking {
    const { params, now, isResort } = this.#rules;
    const settled = this.#settled;
    const extraSeconds = this.#loads >= params.maxParallelLoads ? params.extraLoadSeconds : 0;
    settled.absorb(this.#cold, extraSeconds);
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
    this.#noteListFull(nodes, knowing, chosen);
    return { nodes: chosen, rejected: this.#rejected };
  }

  /** Names those that were left out for nothing but the length of the list. */
  #noteListFull(nodes: Candidates['nodes'], knowing: Candidates['knowing'], chosen: RankedNode[]): void {
    const rejected = this.#rejected;
    if (chosen.length === 0 || rejected.length + chosen.length >= knowing.length) return;
    const unfit = new Set(rejected.map(({ id }) => id));
    for (const at of knowing) {
      if (rejected.length >= MAX_REJECTED) return;
      const id = nodes[at]?.id;
      if (id === undefined || unfit.has(id) || chosen.some((ranked) => ranked.id === id)) continue;
      rejected.push({ id, reason: 'list_full' });
    }
  }
}
