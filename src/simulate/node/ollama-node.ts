import type { Clock, Random } from '../../app/ports.ts';
import type { FailureReason, ModelKey } from '../../fleet/types.ts';
import type { SimNodeSpec } from '../types.ts';
import { Job, type JobListener, type JobOrder } from './job.ts';
import { evictionVictim, freeVram, hasRoom, loadedBytes } from './memory.ts';
import { SimRunner } from './runner.ts';
import { loadMs, setRates } from './speed.ts';

const DEFAULT_MAX_QUEUE = 512;
const DEFAULT_KEEP_ALIVE_MS = 300_000;
/** Less of a token than this is a rounding error. */
const ROUNDING = 1e-5;

interface Loading {
  readonly job: Job;
  readonly runner: SimRunner;
  readonly endsAt: number;
  readonly cancel: () => void;
}

/** Who watches a node as a whole. */
export interface NodeWatch {
  /** Free slots of loaded models came (above 0) or went. */
  freeSlots(model: ModelKey, change: number): void;
  loaded(model: ModelKey): void;
}

/**
 * One Ollama node in virtual time, by its measured rules: slots and a FIFO for each loaded model, one load at a time in the order
 * of arrival, loads that wait while all models are busy, idle models that give way, contexts that force a reload.
 */
export class OllamaNode {
  readonly spec: SimNodeSpec;
  readonly runners = new Map<ModelKey, SimRunner>();
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #watch: NodeWatch;
  /** Requests that need a load, in order of arrival; the first is being served. */
  readonly #pending: Job[] = [];
  #loading: Loading | undefined;
  /** The model that the first of the line waits for to go; it looks around again only when a model has gone. */
  #awaited: SimRunner | undefined;
  #settledAt = 0;
  #cancelTimer: (() => void) | undefined;
  #isUp = true;
  /** Share of the requests that are answered 500 at once. */
  failShare = 0;
  loads = 0;
  /** Grows whenever what /api/ps answers changes. */
  version = 0;

  constructor(spec: SimNodeSpec, clock: Clock, random: Random, watch: NodeWatch) {
    this.spec = spec;
    this.#clock = clock;
    this.#random = random;
    this.#watch = watch;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  get pendingLoads(): readonly Job[] {
    return this.#pending;
  }

  /** The load under way, if any. */
  get loading(): Pick<Loading, 'job' | 'runner' | 'endsAt'> | undefined {
    return this.#loading;
  }

  submit(order: JobOrder, listener: JobListener): Job {
    const job = new Job(order, this.#clock.now(), listener);
    if (!this.#isUp) this.#fail(job, 'refused', 0);
    else if (this.failShare > 0 && this.#random() < this.failShare) this.#fail(job, 'server_error', 500);
    else if (!this.spec.models.includes(order.model.key)) this.#fail(job, 'model_missing', 404);
    else if (order.isEmpty && order.keepAliveMs === 0) this.#unload(job);
    else this.#admit(job);
    return job;
  }

  /** Its client has hung up: the slot is free at once, a load for it is given up. */
  leave(job: Job): void {
    if (job.state === 'over') return;
    this.#settle();
    const { runner } = job;
    if (job.state === 'load') {
      const at = this.#pending.indexOf(job);
      this.#pending.splice(at, 1);
      job.state = 'over';
      if (this.#loading?.job === job) this.#giveUpLoad();
      this.#pump();
    } else if (runner !== undefined) {
      if (job.state === 'slot') runner.waiting.splice(runner.waiting.indexOf(job), 1);
      else this.#freeSlot(job, runner);
      job.state = 'over';
      this.#released(runner);
    }
    this.#reschedule();
  }

  /** The process dies: what runs breaks off, memory is empty. */
  goDown(): void {
    if (!this.#isUp) return;
    this.#settle();
    this.#isUp = false;
    this.version += 1;
    this.#giveUpLoad();
    const lost = [...this.#pending.splice(0)];
    for (const runner of [...this.runners.values()]) {
      for (const job of runner.slots) if (job !== undefined) lost.push(job);
      lost.push(...runner.waiting);
      this.#discard(runner);
    }
    this.#reschedule();
    for (const job of lost) this.#fail(job, job.firstTokenAt === undefined ? 'reset' : 'truncated', 0);
  }

  goUp(): void {
    this.#isUp = true;
    this.version += 1;
  }

  #fail(job: Job, reason: FailureReason, status: number): void {
    job.state = 'over';
    job.endedAt = this.#clock.now();
    job.listener.failed(job, reason, status);
  }

  #unload(job: Job): void {
    const runner = this.runners.get(job.order.model.key);
    if (runner !== undefined) this.#expire(runner);
    job.state = 'over';
    job.endedAt = this.#clock.now();
    job.listener.served(job);
    this.#pump();
  }

  #admit(job: Job): void {
    const runner = this.runners.get(job.order.model.key);
    if (runner !== undefined && runner.askedContext === job.askedContext) {
      this.#use(runner, job);
      return;
    }
    // The first of the line is being served and not counted.
    if (this.#pending.length - 1 >= (this.spec.maxQueue ?? DEFAULT_MAX_QUEUE)) {
      this.#fail(job, 'busy', 503);
      return;
    }
    this.#pending.push(job);
    this.#pump();
  }

  /** Serves the line of those that need a load, until it must wait. */
  #pump(): void {
    while (this.#loading === undefined && this.#awaited === undefined) {
      const job = this.#pending[0];
      if (job === undefined || !this.#isUp) return;
      const { model } = job.order;
      const runner = this.runners.get(model.key);
      if (runner?.askedContext === job.askedContext) {
        this.#pending.shift();
        this.#use(runner, job);
        continue;
      }
      const sizeBytes = loadedBytes(this.spec, model, job.askedContext);
      const mustGo =
        runner ??
        (hasRoom(this.spec, this.runners, sizeBytes) ? undefined : evictionVictim(this.runners.values()));
      if (mustGo === undefined) this.#load(job, sizeBytes);
      else if (!this.#expire(mustGo)) this.#awaited = mustGo;
    }
  }

  #load(job: Job, sizeBytes: number): void {
    const { model, keepAliveMs } = job.order;
    const runner = new SimRunner({
      model,
      askedContext: job.askedContext,
      sizeBytes,
      vramBytes: Math.min(sizeBytes, freeVram(this.spec, this.runners.values())),
      parallel: this.spec.parallel,
      keepAliveMs: keepAliveMs ?? this.spec.keepAliveMs ?? DEFAULT_KEEP_ALIVE_MS,
      now: this.#clock.now(),
    });
    job.loaded = true;
    const ms = loadMs(this.spec, model);
    const cancel = this.#clock.after(ms, () => this.#loadEnded(job, runner));
    this.#loading = { job, runner, endsAt: this.#clock.now() + ms, cancel };
  }

  #loadEnded(job: Job, runner: SimRunner): void {
    this.#loading = undefined;
    this.loads += 1;
    this.version += 1;
    runner.lastUsedAt = this.#clock.now();
    this.runners.set(runner.model.key, runner);
    this.#watch.loaded(runner.model.key);
    this.#watch.freeSlots(runner.model.key, runner.slots.length);
    this.#pending.splice(this.#pending.indexOf(job), 1);
    this.#use(runner, job);
    this.#pump();
  }

  #giveUpLoad(): void {
    this.#loading?.cancel();
    this.#loading = undefined;
  }

  #use(runner: SimRunner, job: Job): void {
    job.readyAt = this.#clock.now();
    job.runner = runner;
    runner.cancelExpiry?.();
    runner.cancelExpiry = undefined;
    if (job.order.keepAliveMs !== undefined) runner.keepAliveMs = job.order.keepAliveMs;
    if (job.order.isEmpty) {
      job.state = 'over';
      job.endedAt = job.readyAt;
      this.#released(runner);
      job.listener.served(job);
      return;
    }
    job.state = 'slot';
    runner.waiting.push(job);
    this.#settle();
    this.#fill(runner);
    this.#reschedule();
  }

  /** Gives free slots to those that wait for one. */
  #fill(runner: SimRunner): void {
    while (runner.running < runner.slots.length) {
      const job = runner.waiting.shift();
      if (job === undefined) return;
      const now = this.#clock.now();
      const slot = runner.cache.pick(job.order, runner.slots);
      runner.slots[slot] = job;
      runner.running += 1;
      runner.reading += 1;
      this.#watch.freeSlots(runner.model.key, -1);
      job.slot = slot;
      job.state = 'prompt';
      job.startedAt = now;
      job.promptTokens = Math.min(job.order.promptTokens, runner.context);
      job.cachedTokens = Math.min(
        runner.cache.cachedTokens(job.order, slot),
        Math.max(0, job.promptTokens - 1),
      );
      job.remaining = job.promptTokens - job.cachedTokens;
      runner.cache.hold(slot, job.order, job.promptTokens, now);
      job.listener.started(job);
    }
  }

  #freeSlot(job: Job, runner: SimRunner): void {
    runner.slots[job.slot] = undefined;
    runner.running -= 1;
    if (job.state === 'prompt') runner.reading -= 1;
    this.#watch.freeSlots(runner.model.key, 1);
  }

  /** A request on the runner is over. */
  #released(runner: SimRunner): void {
    runner.lastUsedAt = this.#clock.now();
    this.version += 1;
    this.#fill(runner);
    if (runner.isBusy) return;
    if (runner.keepAliveMs <= 0) this.#discard(runner);
    else if (runner.keepAliveMs < Number.POSITIVE_INFINITY) {
      runner.cancelExpiry?.();
      runner.cancelExpiry = this.#clock.after(runner.keepAliveMs, () => {
        this.#discard(runner);
        this.#pump();
      });
    }
    this.#pump();
  }

  /** The runner goes as soon as nobody uses it. True: it is gone. */
  #expire(runner: SimRunner): boolean {
    runner.keepAliveMs = 0;
    if (runner.isBusy) return false;
    this.#discard(runner);
    return true;
  }

  #discard(runner: SimRunner): void {
    runner.cancelExpiry?.();
    runner.cancelExpiry = undefined;
    if (this.runners.get(runner.model.key) !== runner) return;
    this.runners.delete(runner.model.key);
    this.#awaited = undefined;
    this.version += 1;
    this.#watch.freeSlots(runner.model.key, -runner.freeSlots);
  }

  /** Brings the progress of all running requests up to now. */
  #settle(): void {
    const now = this.#clock.now();
    const elapsed = now - this.#settledAt;
    this.#settledAt = now;
    if (elapsed <= 0) return;
    for (const runner of this.runners.values()) {
      if (runner.running === 0) continue;
      for (const job of runner.slots) if (job !== undefined) job.remaining -= job.rate * elapsed;
    }
  }

  /** Sets everybody's speed anew and wakes up when the first phase ends. Progress is up to date when it is called. */
  #reschedule(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    setRates(this.spec, this.runners);
    let nextMs = Number.POSITIVE_INFINITY;
    for (const runner of this.runners.values()) {
      if (runner.running === 0) continue;
      for (const job of runner.slots)
        if (job !== undefined) nextMs = Math.min(nextMs, Math.max(0, job.remaining) / job.rate);
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#cancelTimer = this.#clock.after(nextMs, () => this.#turn());
  }

  /** Ends the phases that are done. Listeners hear of it when the node is in order again: they may come back at once. */
  #turn(): void {
    this.#settle();
    const begun: Job[] = [];
    const done: Job[] = [];
    for (const runner of this.runners.values())
      for (const job of runner.slots)
        if (job !== undefined && job.remaining <= ROUNDING) this.#endPhase(job, runner, begun, done);
    for (const job of done) if (job.runner !== undefined) this.#released(job.runner);
    this.#reschedule();
    for (const job of begun) job.listener.firstToken(job);
    for (const job of done) job.listener.served(job);
  }

  #endPhase(job: Job, runner: SimRunner, begun: Job[], done: Job[]): void {
    const now = this.#clock.now();
    if (job.state === 'prompt') {
      runner.reading -= 1;
      job.state = 'answer';
      job.firstTokenAt = now;
      job.remaining = job.order.answerTokens;
      begun.push(job);
      if (job.remaining > ROUNDING) return;
    }
    runner.cache.hold(
      job.slot,
      job.order,
      Math.min(runner.context, job.promptTokens + job.order.answerTokens),
      now,
    );
    this.#freeSlot(job, runner);
    job.state = 'over';
    job.endedAt = now;
    done.push(job);
  }
}
