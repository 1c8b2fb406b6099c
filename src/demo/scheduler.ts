import type { Clock } from '../app/ports.ts';
import { LoadQueue, type PendingLoad } from './load-queue.ts';
import type { SimulatedModel } from './models.ts';
import { Runner, type RunnerUse } from './runner.ts';

export interface SchedulerOptions {
  readonly clock: Clock;
  /** GPU memory; 0 simulates a machine without a GPU, where only the number of models counts. */
  readonly vramBytes: number;
  /** Requests that one loaded model runs at once (OLLAMA_NUM_PARALLEL). */
  readonly slots: number;
  readonly maxLoaded: number;
  /** Requests that may wait for a load (OLLAMA_MAX_QUEUE); further ones are refused. */
  readonly maxQueue: number;
  readonly defaultContext: number;
  /** ms; Infinity keeps models for ever. */
  readonly defaultKeepAliveMs: number;
  readonly loadBytesPerSecond: number;
}

export interface RunnerRequest {
  readonly numCtx: number | undefined;
  /** undefined leaves what the model was loaded with, or the node's default. */
  readonly keepAliveMs: number | undefined;
}

/** Ollama raises smaller ones to it. */
const LEAST_CONTEXT = 4;

/** More requests wait for a load than the node allows. */
export class QueueFullError extends Error {}

/**
 * Which models are in memory, and who may run on them, by Ollama's rules: a loaded model is used at once, everything
 * else waits in one line in which loads follow each other; idle models give way, busy ones never do.
 */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #runners = new Map<string, Runner>();
  readonly #queue: LoadQueue;
  #loads = 0;
  #evictions = 0;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#queue = new LoadQueue((pending) => this.#serve(pending));
  }

  /** Runners in memory, the one that expires last first. */
  get loaded(): readonly Runner[] {
    return [...this.#runners.values()].sort((a, b) => b.expiresAt - a.expiresAt);
  }

  get counters(): { readonly loads: number; readonly evictions: number; readonly waitingForLoad: number } {
    return { loads: this.#loads, evictions: this.#evictions, waitingForLoad: this.#queue.length };
  }

  /**
   * Waits until `model` is in memory with the context asked for, loading it where needed. The runner stays in memory
   * until the use is released. Rejects with QueueFullError, or with the signal's reason.
   */
  async use(model: SimulatedModel, request: RunnerRequest, signal: AbortSignal): Promise<RunnerUse> {
    signal.throwIfAborted();
    const ready = this.#ready(model, request);
    if (ready !== undefined) return ready.use(request.keepAliveMs);
    if (this.#queue.length >= this.#options.maxQueue)
      throw new QueueFullError('maximum pending requests exceeded');
    return this.#queue.add(model, request, signal);
  }

  /** keep_alive 0 without a prompt: the model goes as soon as nobody uses it. */
  unload(model: SimulatedModel): void {
    this.#runners.get(model.digest)?.expire();
  }

  /** Forgets everything, as a killed process does. */
  clear(): void {
    for (const runner of this.#runners.values()) runner.discard();
    this.#runners.clear();
  }

  #ready(model: SimulatedModel, request: RunnerRequest): Runner | undefined {
    const runner = this.#runners.get(model.digest);
    return runner?.askedContext === this.#contextFor(request) ? runner : undefined;
  }

  async #serve({ model, request, signal }: PendingLoad): Promise<RunnerUse> {
    signal.throwIfAborted();
    const ready = this.#ready(model, request);
    if (ready !== undefined) return ready.use(request.keepAliveMs);
    const askedContext = this.#contextFor(request);
    const contextLength = Math.min(askedContext, model.trainedContext);
    const sizeBytes = model.sizeBytes + contextLength * this.#options.slots * model.kvBytesPerToken;
    await this.#makeRoom(model, sizeBytes, signal);
    await this.#options.clock.sleep((model.sizeBytes / this.#options.loadBytesPerSecond) * 1000, signal);
    signal.throwIfAborted();
    this.#loads++;
    const runner: Runner = new Runner({
      clock: this.#options.clock,
      model,
      contextLength,
      askedContext,
      sizeBytes,
      vramBytes: Math.min(sizeBytes, this.#free()),
      slots: this.#options.slots,
      keepAliveMs: request.keepAliveMs ?? this.#options.defaultKeepAliveMs,
      onExpired: () => this.#forget(runner),
    });
    this.#runners.set(model.digest, runner);
    return runner.use(request.keepAliveMs);
  }

  /** Unloads idle models until the new one fits; waits while those that would have to go are busy. */
  async #makeRoom(model: SimulatedModel, sizeBytes: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      const victim = this.#victim(model, sizeBytes);
      if (victim === undefined) return;
      await victim.idle(signal);
      signal.throwIfAborted();
      // It may have expired, or been taken again, while it was waited for.
      if (this.#runners.get(victim.model.digest) !== victim || victim.isBusy) continue;
      this.#runners.delete(victim.model.digest);
      victim.discard();
      this.#evictions++;
    }
  }

  /** The model that must go first: its own other context, else the idle one with the shortest keep_alive, else a busy one. */
  #victim(model: SimulatedModel, sizeBytes: number): Runner | undefined {
    const own = this.#runners.get(model.digest);
    if (own !== undefined) return own;
    if (this.#runners.size === 0) return undefined;
    const fits = this.#options.vramBytes === 0 || sizeBytes <= this.#free();
    if (fits && this.#runners.size < this.#options.maxLoaded) return undefined;
    const byKeepAlive = [...this.#runners.values()].sort(
      (a, b) => order(a.keepAliveMs, b.keepAliveMs) || a.lastUsedAt - b.lastUsedAt,
    );
    return byKeepAlive.find((runner) => !runner.isBusy) ?? byKeepAlive[0];
  }

  #forget(runner: Runner): void {
    // A later runner of the same model may have taken its place.
    if (this.#runners.get(runner.model.digest) === runner) this.#runners.delete(runner.model.digest);
  }

  #free(): number {
    let used = 0;
    for (const runner of this.#runners.values()) used += runner.vramBytes;
    return Math.max(0, this.#options.vramBytes - used);
  }

  #contextFor({ numCtx }: RunnerRequest): number {
    return numCtx === undefined ? this.#options.defaultContext : Math.max(numCtx, LEAST_CONTEXT);
  }
}

/** Subtraction would make NaN of two infinities. */
function order(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
