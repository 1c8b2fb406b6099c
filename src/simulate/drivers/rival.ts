import { LeaseLedger } from '../../fleet/ledger.ts';
import type { NodeId, NodeView } from '../../fleet/types.ts';
import type { BodyEdit } from '../../request/types.ts';
import { DEFAULT_ROUTING } from '../../routing/params.ts';
import type { RivalPolicy, RivalSituation } from '../../routing/rivals/types.ts';
import { FleetFeed } from '../fleet-feed.ts';
import type { SimAttempt, SimDriver, SimHost, SimRequest } from '../types.ts';
import { NodeQueues } from './node-queues.ts';

/** As many nodes are tried as by Warmpath. */
const MAX_ATTEMPTS = DEFAULT_ROUTING.maxAttempts;
/** How often a line is looked at where nothing else happens: nodes may have come up. */
const LOOK_MS = 1_000;
const RESPONSE_WEIGHT = 0.3;
const NONE: ReadonlySet<NodeId> = new Set();

export interface RivalWaiter {
  readonly request: SimRequest;
  /** Virtual ms. */
  readonly since: number;
  readonly tried: Set<NodeId>;
}

/**
 * Somebody else's policy over the same fleet: the same polls, its own counts, and what answers have told of speeds. It is told
 * more than Warmpath: the slots of all nodes. A request that fails before its first byte is tried on another node, as by Warmpath.
 */
export class RivalDriver implements SimDriver {
  readonly name: string;
  decisions = 0;
  readonly #host: SimHost;
  readonly #policy: RivalPolicy;
  readonly #feed: FleetFeed;
  readonly #ledger = new LeaseLedger();
  readonly #live = new Map<number, RivalWaiter>();
  /** Held back for a node and model. */
  readonly #queues: NodeQueues;
  /** The one line of a central queue, or those whom no node can take now. */
  #line: RivalWaiter[] = [];
  readonly #responses = new Map<NodeId, number>();

  constructor(host: SimHost, policy: RivalPolicy) {
    this.#host = host;
    this.#policy = policy;
    this.name = policy.name;
    this.#feed = new FleetFeed(host, { tellsSlots: true });
    this.#queues = new NodeQueues(policy.rebalance);
    this.#every(LOOK_MS, () => this.#serveLine());
    if (policy.rebalance !== undefined) this.#every(policy.rebalance.everyMs, () => this.#rebalance());
  }

  arrive(request: SimRequest): void {
    const waiter: RivalWaiter = { request, since: this.#host.clock.now(), tried: new Set() };
    this.#live.set(request.id, waiter);
    this.#place(waiter);
  }

  began(): void {}

  ended(id: number, node: NodeId, attempt: SimAttempt): void {
    const waiter = this.#live.get(id);
    this.#ledger.release(String(id));
    if (waiter === undefined) return;
    if (attempt.end === 'served') this.#learn(waiter, node, attempt);
    else this.#noteFailure(waiter, node, attempt);
    waiter.tried.add(node);
    const isTriedAgain = attempt.end === 'failed' && attempt.canRetry;
    if (!isTriedAgain) this.#live.delete(id);
    else if (waiter.tried.size < MAX_ATTEMPTS && this.#fit(waiter).length > 0) this.#place(waiter);
    else {
      this.#live.delete(id);
      this.#host.refuse(id, 'failed');
    }
    this.#freed(node, waiter.request.request.model.key);
  }

  left(id: number): void {
    const waiter = this.#live.get(id);
    const lease = this.#ledger.find(String(id));
    this.#live.delete(id);
    this.#ledger.release(String(id));
    if (waiter === undefined) return;
    if (lease !== undefined) this.#freed(lease.node, lease.model);
    else {
      this.#line = this.#line.filter((other) => other !== waiter);
      this.#queues.remove(waiter);
    }
  }

  fleetChanged(): void {
    this.#feed.membersChanged();
    for (const waiter of this.#queues.leftBehind(this.#feed.fleet.nodes)) this.#place(waiter);
  }

  #place(waiter: RivalWaiter): void {
    const fit = this.#fit(waiter);
    if (fit.length === 0) {
      this.#line.push(waiter);
      return;
    }
    const { request } = waiter.request;
    switch (this.#policy.queue) {
      case 'node':
        this.#dispatch(waiter, this.#choose(waiter, fit));
        return;
      case 'per_node_model': {
        const node = this.#choose(waiter, fit);
        this.#queues.add(node, request.model.key, waiter);
        this.#freed(node, request.model.key);
        return;
      }
      case 'central': {
        const free = fit.filter((node) => this.#hasSlot(node));
        if (free.length === 0) this.#line.push(waiter);
        else this.#dispatch(waiter, this.#choose(waiter, free));
      }
    }
  }

  #choose(waiter: RivalWaiter, fit: readonly NodeView[]): NodeId {
    this.decisions += 1;
    return this.#policy.choose(waiter.request.request, this.#situation(fit));
  }

  #dispatch(waiter: RivalWaiter, node: NodeId): void {
    const { id, request } = waiter.request;
    const now = this.#host.clock.now();
    this.#ledger.take(String(id), node, request.model.key, now);
    this.#host.dispatch(id, node, this.#edits(waiter, node));
  }

  #edits({ request }: RivalWaiter, node: NodeId): readonly BodyEdit[] {
    const { numCtx, model } = request.request;
    if (this.#policy.stripsContext !== true || numCtx === undefined) return [];
    const loaded = this.#feed.fleet.snapshot().byId.get(node)?.warm.get(model.key)?.contextLength;
    // Taken out it would mean the node's default to older Ollamas, and a reload all the same: what is meant is what is loaded.
    return loaded !== undefined && numCtx <= loaded ? [{ field: 'num_ctx', to: loaded }] : [];
  }

  /** A slot of the node may be free for the model. */
  #freed(node: NodeId, model: string): void {
    if (this.#policy.queue === 'per_node_model') {
      const slots = this.#feed.fleet.snapshot().byId.get(node)?.slots ?? 1;
      while (this.#ledger.onModel(node, model) < slots) {
        const waiter = this.#queues.take(node, model);
        if (waiter === undefined) return;
        this.#dispatch(waiter, node);
      }
    } else if (this.#policy.queue === 'central') {
      const view = this.#feed.fleet.snapshot().byId.get(node);
      if (view !== undefined) this.#offer(view);
    }
  }

  /** A node of a central line takes what the policy gives it while it has slots. */
  #offer(node: NodeView): void {
    const { next } = this.#policy;
    while (next !== undefined && this.#line.length > 0 && isUsable(node) && this.#hasSlot(node)) {
      const now = this.#host.clock.now();
      const requests = this.#line.map(({ request }) => request.request);
      const waited = this.#line.map(({ since }) => now - since);
      const callers = this.#line.map(({ request }) => request.caller.id);
      this.decisions += 1;
      const index = next.call(this.#policy, node, requests, waited, this.#situation([node]), callers);
      const waiter = index === undefined ? undefined : this.#line[index];
      if (index === undefined || waiter === undefined) return;
      this.#line.splice(index, 1);
      this.#dispatch(waiter, node.id);
    }
  }

  #serveLine(): void {
    if (this.#line.length === 0) return;
    if (this.#policy.queue === 'central') {
      for (const node of this.#feed.fleet.snapshot().nodes) this.#offer(node);
      return;
    }
    for (const waiter of this.#line.splice(0)) this.#place(waiter);
  }

  #rebalance(): void {
    const warmNodes = (model: string): NodeId[] =>
      (this.#feed.fleet.snapshot().byModel.get(model) ?? [])
        .filter((node) => isUsable(node) && node.warm.has(model))
        .map(({ id }) => id);
    for (const { node, model } of this.#queues.rebalance(warmNodes)) this.#freed(node, model);
  }

  #fit(waiter: RivalWaiter): readonly NodeView[] {
    const nodes = this.#feed.fleet.snapshot().byModel.get(waiter.request.request.model.key) ?? [];
    const tried = waiter.tried ?? NONE;
    return nodes.filter((node) => isUsable(node) && !tried.has(node.id));
  }

  #hasSlot(node: NodeView): boolean {
    return this.#ledger.onNode(node.id) < node.slots;
  }

  #situation(fit: readonly NodeView[]): RivalSituation {
    return {
      fit,
      snapshot: this.#feed.fleet.snapshot(),
      inflight: this.#ledger,
      demand: { perSecond: () => 0 },
      prompts: { cachedBytes: () => 0 },
      waiting: { ahead: () => 0 },
      params: DEFAULT_ROUTING,
      random: this.#host.random,
      now: this.#host.clock.now(),
      queued: (node, model) => this.#queues.length(node, model),
      responseMs: (node) => this.#responses.get(node),
    };
  }

  #learn(waiter: RivalWaiter, node: NodeId, attempt: SimAttempt): void {
    const { totalMs, loadMs, promptEvalMs, evalMs, promptTokens, answerTokens, firstTokenAt } = attempt;
    const before = this.#responses.get(node);
    this.#responses.set(node, before === undefined ? totalMs : before + (totalMs - before) * RESPONSE_WEIGHT);
    this.#feed.fleet.observe(node, {
      kind: 'attempt_served',
      model: waiter.request.request.model.key,
      service: {
        concurrency: 1,
        wasWarm: loadMs < 50,
        firstByteMs: firstTokenAt === undefined ? undefined : firstTokenAt - waiter.since,
        totalMs,
        loadMs,
        promptEvalMs,
        evalMs,
        promptTokens,
        completionTokens: answerTokens,
      },
    });
  }

  /** Health is judged as by Warmpath: a node that fails is left out for a while. */
  #noteFailure({ request }: RivalWaiter, node: NodeId, { reason }: SimAttempt): void {
    if (reason === undefined) return;
    const model = request.request.model.key;
    this.#feed.fleet.observe(node, { kind: 'attempt_failed', model, reason, retryAfterMs: undefined });
  }

  #every(ms: number, fn: () => void): void {
    this.#host.clock.after(ms, () => {
      fn();
      this.#every(ms, fn);
    });
  }
}

function isUsable({ status, address }: NodeView): boolean {
  return address !== undefined && (status === 'ready' || status === 'suspect');
}
