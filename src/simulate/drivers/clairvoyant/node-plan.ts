import type { ModelKey } from '../../../fleet/types.ts';
import { askedContext, type Job, type JobOrder } from '../../node/job.ts';
import { evictionVictim, freeVram, hasRoom, loadedBytes } from '../../node/memory.ts';
import type { OllamaNode } from '../../node/ollama-node.ts';
import type { SimRunner } from '../../node/runner.ts';
import { baseRate, loadMs, sharedSpeed } from '../../node/speed.ts';
import type { SimModelSpec } from '../../types.ts';

/** What a model in memory will be able to take, and when. */
interface PlannedModel {
  /** As it was asked for. */
  readonly context: number;
  readonly runner: SimRunner | undefined;
  /** When each slot will be free, soonest first, virtual ms. */
  readonly freeAt: number[];
  readonly onGpu: number;
}

/** What a request would find at the node. */
export interface Offer {
  readonly startsNow: boolean;
  readonly firstTokenAt: number;
  readonly endsAt: number;
  /** The context to ask for. */
  readonly context: number;
  /** Models that must go for it. */
  readonly evicts: readonly SimModelSpec[];
  /** Counts the request in: those that are planned after it find its slot taken. */
  accept(): void;
}

/** The near future of one node as it will be if nothing else comes: true remaining work, true loads. Rebuilt for every round. */
export class NodePlan {
  readonly #node: OllamaNode;
  readonly #now: number;
  readonly #models = new Map<ModelKey, PlannedModel>();
  #runningModels = 0;
  /** When a load could begin. */
  #loadFreeAt: number;

  /** `sent`: what is on its way there. */
  constructor(node: OllamaNode, now: number, sent: Iterable<JobOrder>) {
    this.#node = node;
    this.#now = now;
    this.#loadFreeAt = now;
    for (const runner of node.runners.values()) {
      if (runner.running > 0) this.#runningModels += 1;
      this.#models.set(runner.model.key, {
        context: runner.askedContext,
        runner,
        freeAt: this.#freeTimes(runner),
        onGpu: runner.sizeBytes > 0 && node.spec.vramBytes > 0 ? runner.vramBytes / runner.sizeBytes : 1,
      });
    }
    for (const job of node.pendingLoads) this.#planLoad(job.order);
    for (const order of sent) this.#occupy(order);
  }

  /** `context`: what it is loaded with where it must be loaded; the context in memory is taken where it is large enough and may be set. */
  offer(order: JobOrder, loadContext: number, mayPin: boolean): Offer | undefined {
    const { model } = order;
    if (!this.#node.isUp || !this.#node.spec.models.includes(model.key)) return undefined;
    const wanted = askedContext(model, order.numCtx);
    const planned = this.#models.get(model.key);
    const fits =
      planned !== undefined && (planned.context === wanted || (mayPin && planned.context >= wanted));
    return fits ? this.#warmOffer(order, planned) : this.#coldOffer(order, Math.max(wanted, loadContext));
  }

  /** Whether the model could take a request at once, is in use, or is not there at all. */
  state(model: ModelKey): 'free' | 'loading' | 'busy' | 'cold' {
    const planned = this.#models.get(model);
    if (planned === undefined) return 'cold';
    if ((planned.freeAt[0] ?? 0) <= this.#now) return 'free';
    return planned.runner === undefined ? 'loading' : 'busy';
  }

  #warmOffer(order: JobOrder, planned: PlannedModel): Offer {
    const startAt = planned.freeAt[0] ?? this.#now;
    const times = this.#serviceTimes(order, planned.onGpu, planned.runner, planned.freeAt);
    const endsAt = startAt + times.promptMs + times.answerMs;
    return {
      startsNow: startAt <= this.#now,
      firstTokenAt: startAt + times.promptMs,
      endsAt,
      context: planned.context,
      evicts: [],
      accept: () => take(planned, endsAt),
    };
  }

  #coldOffer(order: JobOrder, context: number): Offer {
    const { model } = order;
    const { spec } = this.#node;
    const { readyAt, evicts, isFree, onGpu } = this.#roomFor(model, context);
    const loadedAt = readyAt + loadMs(spec, model);
    const times = this.#serviceTimes(order, onGpu, undefined, []);
    const endsAt = loadedAt + times.promptMs + times.answerMs;
    return {
      startsNow: isFree,
      firstTokenAt: loadedAt + times.promptMs,
      endsAt,
      context,
      evicts,
      accept: () => this.#load(model, context, onGpu, loadedAt, endsAt),
    };
  }

  #load(model: SimModelSpec, context: number, onGpu: number, loadedAt: number, endsAt: number): void {
    this.#loadFreeAt = loadedAt;
    const freeAt = new Array<number>(this.#node.spec.parallel).fill(loadedAt);
    const planned = { context, runner: undefined, freeAt, onGpu };
    take(planned, endsAt);
    this.#models.set(model.key, planned);
  }

  /** When a load could begin, and what would go for it, in Ollama's own order. */
  #roomFor(model: SimModelSpec, context: number) {
    const { spec } = this.#node;
    const runners = new Map(this.#node.runners);
    const sizeBytes = loadedBytes(spec, model, context);
    const evicts: SimModelSpec[] = [];
    let readyAt = this.#loadFreeAt;
    let isFree = this.#loadFreeAt <= this.#now;
    for (;;) {
      const victim =
        runners.get(model.key) ??
        (hasRoom(spec, runners, sizeBytes) ? undefined : evictionVictim(runners.values()));
      if (victim === undefined) break;
      runners.delete(victim.model.key);
      if (victim.model.key !== model.key) evicts.push(victim.model);
      const idleAt = Math.max(this.#now, ...(this.#models.get(victim.model.key)?.freeAt ?? []));
      if (idleAt > this.#now) isFree = false;
      readyAt = Math.max(readyAt, idleAt);
    }
    const onGpu = spec.vramBytes <= 0 ? 1 : Math.min(1, freeVram(spec, runners.values()) / sizeBytes);
    return { readyAt, evicts, isFree, onGpu };
  }

  #planLoad(order: JobOrder): void {
    const planned = this.#models.get(order.model.key);
    const context = askedContext(order.model, order.numCtx);
    const loading = this.#node.loading;
    if (planned?.context === context) this.#occupy(order);
    else if (loading?.job.order === order)
      this.#load(
        order.model,
        context,
        loading.runner.vramBytes / Math.max(1, loading.runner.sizeBytes) || 1,
        loading.endsAt,
        loading.endsAt + this.#wholeMs(order),
      );
    else this.#coldOffer(order, context).accept();
  }

  #occupy(order: JobOrder): void {
    const planned = this.#models.get(order.model.key);
    if (planned === undefined || planned.context !== askedContext(order.model, order.numCtx)) {
      this.#coldOffer(order, askedContext(order.model, order.numCtx)).accept();
      return;
    }
    this.#warmOffer(order, planned).accept();
  }

  #wholeMs(order: JobOrder): number {
    const { promptMs, answerMs } = this.#serviceTimes(order, 1, undefined, []);
    return promptMs + answerMs;
  }

  #serviceTimes(order: JobOrder, onGpu: number, runner: SimRunner | undefined, freeAt: readonly number[]) {
    const { spec } = this.#node;
    let running = 1;
    for (const at of freeAt) if (at > this.#now) running += 1;
    running = Math.min(running, spec.parallel);
    const models = Math.max(1, this.#runningModels + (runner === undefined || runner.running === 0 ? 1 : 0));
    const speed = sharedSpeed(spec, running, models);
    const cached = runner === undefined ? 0 : bestCached(runner, order);
    const promptTokens = Math.max(1, order.promptTokens - cached);
    const promptRate = baseRate(spec.promptTokensPerSecond, order.model, onGpu) * speed;
    const answerRate = baseRate(spec.answerTokensPerSecond, order.model, onGpu) * speed;
    return { promptMs: spec.rttMs + promptTokens / promptRate, answerMs: order.answerTokens / answerRate };
  }

  #freeTimes(runner: SimRunner): number[] {
    const times = runner.slots.map((job) =>
      job === undefined ? this.#now : this.#now + remainingMs(job, runner, this.#node),
    );
    times.sort((a, b) => a - b);
    for (const job of runner.waiting) {
      const first = times.shift() ?? this.#now;
      insert(times, first + this.#wholeMs(job.order));
    }
    return times;
  }
}

function remainingMs(job: Job, runner: SimRunner, { spec }: OllamaNode): number {
  const first = Math.max(0, job.remaining) / job.rate;
  if (job.state !== 'prompt') return first;
  const onGpu = spec.vramBytes > 0 ? runner.vramBytes / runner.sizeBytes : 1;
  const speed = sharedSpeed(spec, runner.running, 1);
  return first + job.order.answerTokens / (baseRate(spec.answerTokensPerSecond, runner.model, onGpu) * speed);
}

/** Of the free slots; where none is free, of all. */
function bestCached(runner: SimRunner, order: JobOrder): number {
  const slot = runner.cache.pick(order, runner.slots);
  if (slot >= 0) return runner.cache.cachedTokens(order, slot);
  return 0;
}

function take(planned: PlannedModel, until: number): void {
  planned.freeAt.shift();
  insert(planned.freeAt, until);
}

function insert(times: number[], at: number): void {
  let place = times.length;
  while (place > 0 && (times[place - 1] ?? 0) > at) place -= 1;
  times.splice(place, 0, at);
}
