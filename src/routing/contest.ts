import type { Candidates, FleetSnapshot, NodeView } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import { costOf, expectedSeconds, reasonOf, totalSeconds } from './cost.ts';
import { type Facts, factsOf, weightOf } from './facts.ts';
import { isLastResort, rejectReason } from './filters.ts';
import { visitSome } from './sample.ts';
import { Shortlist } from './shortlist.ts';
import type { CostTerms, RankedNode, Ranking, RejectReason, Situation } from './types.ts';

/** A ranking explains itself, but its memory is bounded: `explain` tells of all nodes. */
const MAX_REJECTED = 16;

interface Entry {
  readonly facts: Facts;
  readonly terms: CostTerms;
}

interface Rules extends Situation {
  readonly request: RouteRequest;
  /** Nodes that are down or stuck may compete too. */
  readonly isResort: boolean;
}

/**
 * One ranking among the nodes that know a model. Those that have it in memory come first, then those that load it, then
 * the cold ones, as long as they can still get into the list at all. Where no more than `maxColdNodes` know the model
 * and no more than `maxWarmNodes` have it in memory, all are looked at and nothing is missed. Beyond that chance chooses
 * `sampledNodes` of each kind that may take the request, and these may be missed: a node that is better than all of its
 * kind in the sample; all of a kind of which only one in hundreds may take it; nodes that load the model, where more
 * than `maxRunningNodes` run it. Never missed is that somebody can take the request.
 */
export class Contest {
  readonly #rules: Rules;
  readonly #settled: Shortlist<Entry>;
  readonly #cold: Shortlist<Entry>;
  readonly #rejected: { id: string; reason: RejectReason }[] = [];
  #loads = 0;

  constructor(request: RouteRequest, situation: Situation, isResort: boolean) {
    const { params, random } = situation;
    const attempts = Math.max(1, params.maxAttempts);
    this.#rules = { ...situation, request, isResort };
    this.#settled = new Shortlist(attempts, random);
    this.#cold = new Shortlist(attempts, random);
  }

  /** `heaviest`: no node's weight is larger. */
  run(candidates: Candidates, byId: FleetSnapshot['byId'], heaviest: number): Ranking {
    const { nodes, knowing, warm } = candidates;
    const { request, params, random } = this.#rules;
    const isAny = request.endpoint.operation === 'show';
    if (isAny)
      visitSome(knowing, params.maxColdNodes, params.sampledNodes, random, (at) => this.#enter(nodes[at]));
    else {
      visitSome(warm, params.maxWarmNodes, params.sampledNodes, random, (at) => this.#enter(nodes[at]));
      if (knowing.length <= params.maxColdNodes) this.#visitUnloaded(candidates);
      else this.#sampleUnloaded(candidates, byId, heaviest > 0 ? heaviest : 1);
    }
    if (this.#isEmpty) this.#search(candidates);
    return this.#result(candidates);
  }

  get #isEmpty(): boolean {
    return this.#settled.items.length === 0 && this.#cold.items.length === 0;
  }

  /** All nodes without the model in memory; those that cannot get into the list are passed over as early as possible. */
  #visitUnloaded({ nodes, knowing }: Candidates): void {
    const { key } = this.#rules.request.model;
    for (const at of knowing) {
      const node = nodes[at];
      if (node === undefined || node.warm.has(key)) continue;
      if (!this.#isBeyond(weightOf(node), this.#rules.params.loadLeftShare)) this.#enter(node);
      else this.#rejectReason(node);
    }
  }

  #sampleUnloaded({ nodes, knowing }: Candidates, byId: FleetSnapshot['byId'], heaviest: number): void {
    const { request, inflight, params, random } = this.#rules;
    const { key } = request.model;
    if (this.#isBeyond(heaviest, params.loadLeftShare)) return;
    this.#visitLoading(byId);
    if (this.#isBeyond(heaviest, 1)) return;
    visitSome(knowing, params.maxColdNodes, params.sampledNodes, random, (at) => {
      const node = nodes[at];
      if (node === undefined || node.warm.has(key) || inflight.onModel(node.id, key) > 0) return false;
      return this.#enter(node);
    });
  }

  /** The samples found nobody: one node in a thousand is better than none. */
  #search({ nodes, knowing }: Candidates): void {
    const { params } = this.#rules;
    let left = params.sampledNodes;
    for (const at of knowing) {
      if (this.#enter(nodes[at])) left -= 1;
      if (left === 0) return;
    }
  }

  /** A sample of the cold nodes would miss most of the few that load the model now. */
  #visitLoading(byId: FleetSnapshot['byId']): void {
    const { request, inflight, params } = this.#rules;
    const { key } = request.model;
    const loading = new Set<NodeView>();
    let left = params.maxRunningNodes;
    for (const id of inflight.nodesRunning(key)) {
      if (left === 0 || loading.size === params.sampledNodes) return;
      left -= 1;
      const node = byId.get(id);
      if (node === undefined || node.warm.has(key) || loading.has(node)) continue;
      if (inflight.onModel(id, key) === 0) continue;
      loading.add(node);
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

  /** Whether the list is full of nodes that cost less than that share of any load on a node of this weight. */
  #isBeyond(weight: number, share: number): boolean {
    return this.#settled.worst < (this.#rules.params.loadStartSeconds * share) / weight - 0.01;
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
        ...expectedSeconds(terms),
        terms: isExtra ? { ...terms, load: terms.load + extraSeconds } : terms,
        reason: isResort ? 'last_resort' : reasonOf(facts, params, now),
        isWarm: facts.state === 'warm',
        startsNow: facts.state === 'none' || terms.slotWait === 0,
        cachedBytes: 0,
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
