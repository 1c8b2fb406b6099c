import type { NodeId } from '../../../fleet/types.ts';
import type { BodyEdit } from '../../../request/types.ts';
import { jobOrder } from '../../engine/job-order.ts';
import type { JobOrder } from '../../node/job.ts';
import type { SimAttempt, SimDriver, SimHost, SimModelSpec, SimRequest } from '../../types.ts';
import { Future } from './future.ts';
import { NodePlan, type Offer } from './node-plan.ts';
import { prefetch, soonAsked } from './prefetch.ts';

/** How often it looks ahead. */
const PREFETCH_MS = 1_000;
/** Of a long line only so many are planned at once. */
const MAX_PLANNED = 300;
/** A node that fails more requests than this is left alone. */
const MAX_FAIL_SHARE = 0.05;
/** Prompts are read so many times faster than answers are written. */
const PROMPT_SPEED = 30;
const URGENCY = { interactive: 0, normal: 1, batch: 2 } as const;

/** What it minds beside the time to the first token; the best of several is the bound. */
export interface Foresight {
  /** Share of the answer's time that counts: a slow node holds its slot for longer. */
  readonly answerShare: number;
  /** Weight of the loads that others will need again. */
  readonly evictionWeight: number;
  /** Loads take the largest context that anybody will ask for. */
  readonly sharesContext: boolean;
  /** Who stands first within a class: who came first, or who takes the least time. */
  readonly order: 'arrival' | 'shortest';
  /** Loads what will soon be asked for before it is. */
  readonly prefetches: boolean;
}

interface Waiter {
  readonly request: SimRequest;
  readonly order: JobOrder;
  /** Place in the line within its class, least first. */
  readonly rank: number;
}

/**
 * A policy that cannot be built: it sees each node's memory, slots and caches as they are, how long every prompt and answer will
 * take, and when which model will be asked for again. Requests wait in one line and go, one after the other, where their
 * first token will come soonest. It is greedy: it holds nobody back for the good of others, so it is a mark to measure by and no
 * proof of what is possible.
 */
export class ClairvoyantDriver implements SimDriver {
  readonly name: string;
  decisions = 0;
  readonly #host: SimHost;
  readonly #foresight: Foresight;
  readonly #future: Future;
  readonly #models: ReadonlyMap<string, SimModelSpec>;
  readonly #waiting: Waiter[] = [];
  readonly #placed = new Map<
    number,
    { readonly waiter: Waiter; readonly node: NodeId; readonly sentAt: number; order: JobOrder }
  >();
  #cancelRound: (() => void) | undefined;
  #isRoundDue = false;

  constructor(host: SimHost, name: string, foresight: Foresight) {
    this.name = name;
    this.#host = host;
    this.#foresight = foresight;
    this.#future = new Future(host.scenario);
    this.#models = new Map(host.scenario.models.map((model) => [model.key, model]));
    if (foresight.prefetches) this.#prefetchSoon();
  }

  arrive(request: SimRequest): void {
    const order = jobOrder(request, [], this.#models);
    const isShortest = this.#foresight.order === 'shortest';
    this.#join({ request, order, rank: isShortest ? workOf(order) : this.#host.clock.now() });
    this.#roundSoon();
  }

  began(): void {}

  ended(id: number, _node: NodeId, attempt: SimAttempt): void {
    const placed = this.#placed.get(id);
    this.#placed.delete(id);
    if (placed !== undefined && attempt.end === 'failed' && attempt.canRetry) this.#join(placed.waiter);
    this.#roundSoon();
  }

  left(id: number): void {
    this.#placed.delete(id);
    const at = this.#waiting.findIndex(({ request }) => request.id === id);
    if (at >= 0) this.#waiting.splice(at, 1);
    this.#roundSoon();
  }

  fleetChanged(): void {
    this.#roundSoon();
  }

  /** Most urgent first, then in the order that it goes by. */
  #join(waiter: Waiter): void {
    let at = this.#waiting.length;
    while (at > 0 && comesBefore(waiter, this.#waiting[at - 1] as Waiter)) at -= 1; // sound: 0 <= at - 1 < length
    this.#waiting.splice(at, 0, waiter);
  }

  /** Once for all that happens at one moment. */
  #roundSoon(): void {
    if (this.#isRoundDue) return;
    this.#isRoundDue = true;
    this.#host.clock.after(0, () => {
      this.#isRoundDue = false;
      this.#round();
    });
  }

  #round(): void {
    this.#cancelRound?.();
    this.#cancelRound = undefined;
    if (this.#waiting.length === 0) return;
    const now = this.#host.clock.now();
    const plans = this.#plans(now);
    let nextAt = Number.POSITIVE_INFINITY;
    for (const waiter of this.#waiting.slice(0, MAX_PLANNED)) {
      const best = this.#best(waiter, plans, now);
      if (best === undefined) continue;
      best.offer.accept();
      if (best.offer.startsNow) this.#dispatch(waiter, best.node, best.offer, now);
      else nextAt = Math.min(nextAt, best.offer.firstTokenAt);
    }
    if (this.#waiting.length === 0) return;
    const waitMs = Math.min(1_000, Math.max(20, (nextAt - now) / 2));
    this.#cancelRound = this.#host.clock.after(waitMs, () => this.#round());
  }

  #prefetchSoon(): void {
    this.#host.clock.after(PREFETCH_MS, () => {
      const now = this.#host.clock.now();
      const wanted = soonAsked(this.#host.scenario, this.#future, now);
      if (wanted.length > 0) prefetch(this.#host, this.#future, this.#plans(now), wanted, now);
      this.#prefetchSoon();
    });
  }

  #plans(now: number): Map<NodeId, NodePlan> {
    const sent = new Map<NodeId, JobOrder[]>();
    for (const { node, sentAt, order } of this.#placed.values()) {
      const rttMs = this.#host.truth(node)?.spec.rttMs ?? 0;
      if (now >= sentAt + rttMs) continue;
      const list = sent.get(node);
      if (list === undefined) sent.set(node, [order]);
      else list.push(order);
    }
    const plans = new Map<NodeId, NodePlan>();
    for (const { id } of this.#host.members()) {
      const node = this.#host.truth(id);
      if (node?.isUp && node.failShare <= MAX_FAIL_SHARE)
        plans.set(id, new NodePlan(node, now, sent.get(id) ?? []));
    }
    return plans;
  }

  #best({ order, request }: Waiter, plans: ReadonlyMap<NodeId, NodePlan>, now: number) {
    const { answerShare, evictionWeight, sharesContext } = this.#foresight;
    const mayPin = request.request.endpoint.family === 'ollama';
    const wanted = order.numCtx ?? order.model.defaultContext;
    const shared = sharesContext && mayPin ? Math.max(wanted, this.#future.context(order.model.key)) : wanted;
    let best: { readonly node: NodeId; readonly offer: Offer } | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const [node, plan] of plans) {
      const offer = plan.offer(order, shared, mayPin);
      const spec = this.#host.truth(node)?.spec;
      if (offer === undefined || spec === undefined) continue;
      let cost = offer.firstTokenAt - now + answerShare * (offer.endsAt - offer.firstTokenAt);
      for (const evicted of offer.evicts)
        cost += evictionWeight * this.#future.evictionMs(spec, evicted, now);
      if (cost >= least) continue;
      least = cost;
      best = { node, offer };
    }
    return best;
  }

  #dispatch(waiter: Waiter, node: NodeId, offer: Offer, now: number): void {
    const { request } = waiter;
    this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
    this.decisions += 1;
    const isPinned = offer.context !== (waiter.order.numCtx ?? waiter.order.model.defaultContext);
    const edits: BodyEdit[] = isPinned ? [{ field: 'num_ctx', to: offer.context }] : [];
    const order = isPinned ? { ...waiter.order, numCtx: offer.context } : waiter.order;
    this.#placed.set(request.id, { waiter, node, sentAt: now, order });
    this.#host.dispatch(request.id, node, edits);
  }
}

function comesBefore(a: Waiter, b: Waiter): boolean {
  const urgency = URGENCY[a.request.caller.class] - URGENCY[b.request.caller.class];
  return urgency < 0 || (urgency === 0 && a.rank < b.rank);
}

/** How long the request takes on one and the same machine, in no unit. */
function workOf({ model, promptTokens, answerTokens }: JobOrder): number {
  return model.sizeBytes * (promptTokens / PROMPT_SPEED + answerTokens);
}
