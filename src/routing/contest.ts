import type { Candidates, NodeView } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import { isAllowed } from './allowed.ts';
import { type Entry, entryOf, rankedNode, totalSeconds } from './cost.ts';
import { type Facts, factsOf } from './facts.ts';
import { isLastResort, rejectReason } from './filters.ts';
import { furtherCopySeconds } from './further-copy.ts';
import { lengthOf } from './list-length.ts';
import { type Question, questionOf } from './question.ts';
import { visitSome } from './sample.ts';
import { NOTHING_SHOWN, type Shown, shownBy } from './service.ts';
import { Shortlist } from './shortlist.ts';
import type { RankedNode, Ranking, RejectReason, Situation } from './types.ts';

/** A ranking explains itself, but its memory is bounded: `explain` tells of all nodes. */
const MAX_REJECTED = 16;

/**
 * One ranking among the nodes that know a model. Those that have it in memory come first, then those that load it, then
 * the cold ones, as long as they can still get into the list at all. Where no more than `maxColdNodes` know the model
 * and no more than `maxWarmNodes` have it in memory, all are looked at and nothing is missed. Beyond that chance chooses
 * `sampledNodes` of each kind that may take the request, and these may be missed: a node that is better than all of its
 * kind in the sample; all of a kind of which only one in hundreds may take it; nodes that load the model, where more
 * than `maxRunningNodes` run it. Never missed is that somebody can take the request. Where the proxy allows some nodes only,
 * all this goes for those alone.
 */
export class Contest {
  readonly #question: Question;
  /** Nodes that are down or stuck may compete too. */
  readonly #isResort: boolean;
  readonly #list: Shortlist<Entry>;
  /** Nodes known to load the model for earlier requests of ours. */
  readonly #loading: ReadonlySet<NodeView>;
  #shown: Shown = NOTHING_SHOWN;
  /** What one more node with the model is worth. */
  #copySeconds = 0;
  readonly #rejected: { id: string; reason: RejectReason }[] = [];

  constructor(request: RouteRequest, situation: Situation, isResort: boolean) {
    const { params, random } = situation;
    this.#isResort = isResort;
    this.#list = new Shortlist(Math.max(1, params.maxAttempts), random);
    this.#loading = loadingNodes(request, situation);
    this.#question = questionOf(request, situation, this.#loading.size);
  }

  run(candidates: Candidates): Ranking {
    const { nodes, knowing, warm } = candidates;
    const { request, params, random } = this.#question;
    const enter = (at: number): boolean => this.#enter(nodes[at]);
    const visit = (places: Uint32Array, most: number, one: (at: number) => boolean): void =>
      visitSome(places, most, params.sampledNodes, random, one);
    if (request.endpoint.operation === 'show') visit(knowing, params.maxColdNodes, enter);
    else {
      const settled: Facts[] = [];
      visit(warm, params.maxWarmNodes, (at) => this.#note(nodes[at], settled));
      for (const node of this.#loading) this.#note(node, settled);
      for (const facts of settled) this.#shown = shownBy(facts.service, this.#shown);
      this.#copySeconds = furtherCopySeconds(settled, this.#question);
      for (const facts of settled) this.#offer(facts);
      this.#visitCold(candidates, visit);
    }
    if (this.#list.items.length === 0) this.#search(candidates);
    return this.#result(candidates);
  }

  /** Nodes that neither have the model in memory nor load it; none of them where no load could get into the list. */
  #visitCold(
    { nodes, knowing }: Candidates,
    visit: (places: Uint32Array, most: number, one: (at: number) => boolean) => void,
  ): void {
    const { request, params } = this.#question;
    const { key } = request.model;
    const isAll = knowing.length <= params.maxColdNodes;
    if (!isAll && this.#isBeyondLoads) return;
    visit(knowing, params.maxColdNodes, (at) => {
      const node = nodes[at];
      if (node === undefined || node.warm.has(key) || this.#loading.has(node)) return false;
      if (!this.#isBeyondLoads) return this.#enter(node);
      this.#rejectReason(node);
      return false;
    });
  }

  /** The samples found nobody: one node in a thousand is better than none. */
  #search({ nodes, knowing }: Candidates): void {
    let left = this.#question.params.sampledNodes;
    for (const at of knowing) {
      if (this.#enter(nodes[at])) left -= 1;
      if (left === 0) return;
    }
  }

  /** False where the node must not take the request. */
  #enter(node: NodeView | undefined): boolean {
    if (node === undefined || this.#rejectReason(node) !== undefined) return false;
    this.#offer(factsOf(this.#question, node));
    return true;
  }

  /** The same, but it is offered later, when all that such nodes have shown is known. */
  #note(node: NodeView | undefined, noted: Facts[]): boolean {
    if (node === undefined || this.#rejectReason(node) !== undefined) return false;
    noted.push(factsOf(this.#question, node));
    return true;
  }

  #offer(facts: Facts): void {
    const entry = entryOf(facts, this.#question, this.#shown);
    const worth = facts.state === 'cold' ? this.#copySeconds : 0;
    this.#list.offer(entry, totalSeconds(entry.terms, this.#question.params, worth));
  }

  #rejectReason(node: NodeView): RejectReason | undefined {
    const { request, inflight, now } = this.#question;
    const reason = rejectReason(request, node, inflight, now);
    if (reason === undefined || (this.#isResort && isLastResort(reason))) return undefined;
    if (this.#rejected.length < MAX_REJECTED) this.#rejected.push({ id: node.id, reason });
    return reason;
  }

  /** Whether the list is full of nodes that cost less than any load. */
  get #isBeyondLoads(): boolean {
    const { leastLoadSeconds, leastLoadShare } = this.#question.params;
    return this.#list.worst < leastLoadSeconds * leastLoadShare;
  }

  #result({ nodes, knowing }: Candidates): Ranking {
    const question = this.#question;
    const { items, seconds } = this.#list;
    const chosen = items
      .slice(0, lengthOf(items, question))
      .map((entry, i) => rankedNode(entry, seconds[i] ?? 0, question, this.#isResort));
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

/** A sample of the cold nodes would miss most of the few that load the model now. */
function loadingNodes(
  { endpoint, model, among }: RouteRequest,
  { snapshot, inflight, params }: Situation,
): ReadonlySet<NodeView> {
  const loading = new Set<NodeView>();
  if (endpoint.operation === 'show') return loading;
  let left = params.maxRunningNodes;
  for (const id of inflight.nodesRunning(model.key)) {
    if (left === 0 || loading.size === params.sampledNodes) break;
    const node = snapshot.byId.get(id);
    if (node !== undefined && !isAllowed(among, node)) continue;
    left -= 1;
    if (node === undefined || node.warm.has(model.key) || !node.models.has(model.key)) continue;
    if (inflight.onModel(id, model.key) > 0) loading.add(node);
  }
  return loading;
}
