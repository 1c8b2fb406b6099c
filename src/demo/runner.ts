import type { Clock } from '../app/ports.ts';
import { FifoSemaphore } from './fifo-semaphore.ts';
import type { SimulatedModel } from './models.ts';

export interface RunnerOptions {
  readonly clock: Clock;
  readonly model: SimulatedModel;
  readonly contextLength: number;
  /** Before it was cut down to what the model was trained for: what further requests are compared with. */
  readonly askedContext: number;
  readonly sizeBytes: number;
  readonly vramBytes: number;
  readonly slots: number;
  readonly keepAliveMs: number;
  readonly onExpired: () => void;
}

/** A hold on a runner: it is not unloaded before `release`, which may be called twice. */
export interface RunnerUse {
  readonly runner: Runner;
  /** Waits, first come first served, for one of the runner's slots; the result frees it and may be called twice. */
  slot(signal: AbortSignal): Promise<() => void>;
  release(): void;
}

/** One model in memory. */
export class Runner {
  readonly model: SimulatedModel;
  readonly contextLength: number;
  readonly askedContext: number;
  readonly sizeBytes: number;
  readonly vramBytes: number;
  readonly #clock: Clock;
  readonly #slots: FifoSemaphore;
  readonly #onExpired: () => void;
  readonly #idleWaiters = new Set<() => void>();
  #keepAliveMs: number;
  #uses = 0;
  #lastUsedAt: number;
  #cancelExpiry: (() => void) | undefined;

  constructor(options: RunnerOptions) {
    this.model = options.model;
    this.contextLength = options.contextLength;
    this.askedContext = options.askedContext;
    this.sizeBytes = options.sizeBytes;
    this.vramBytes = options.vramBytes;
    this.#clock = options.clock;
    this.#slots = new FifoSemaphore(options.slots);
    this.#onExpired = options.onExpired;
    this.#keepAliveMs = options.keepAliveMs;
    this.#lastUsedAt = options.clock.now();
  }

  get keepAliveMs(): number {
    return this.#keepAliveMs;
  }

  get isBusy(): boolean {
    return this.#uses > 0;
  }

  /** Monotonic ms of the last request's end. */
  get lastUsedAt(): number {
    return this.#lastUsedAt;
  }

  /** Monotonic ms. Moves only when a request ends, so it lies in the past during a long one. */
  get expiresAt(): number {
    return this.#lastUsedAt + this.#keepAliveMs;
  }

  get running(): number {
    return this.#slots.taken;
  }

  get waiting(): number {
    return this.#slots.waiting;
  }

  use(keepAliveMs: number | undefined): RunnerUse {
    this.#uses++;
    this.#cancelExpiry?.();
    this.#cancelExpiry = undefined;
    if (keepAliveMs !== undefined) this.#keepAliveMs = keepAliveMs;
    let held = true;
    return {
      runner: this,
      slot: (signal) => this.#slots.take(signal),
      release: () => {
        if (!held) return;
        held = false;
        this.#released();
      },
    };
  }

  /** Resolves when no request uses the runner, or when `signal` aborts. */
  idle(signal: AbortSignal): Promise<void> {
    if (!this.isBusy || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#idleWaiters.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#idleWaiters.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  /** Ends the keep_alive now: unloaded at once, or when the last request ends. */
  expire(): void {
    this.#keepAliveMs = 0;
    if (!this.isBusy) this.#scheduleExpiry();
  }

  /** Stops its timer: the runner is no longer in memory. */
  discard(): void {
    this.#cancelExpiry?.();
    this.#cancelExpiry = undefined;
  }

  #released(): void {
    this.#uses--;
    this.#lastUsedAt = this.#clock.now();
    if (this.#uses > 0) return;
    this.#scheduleExpiry();
    for (const wake of [...this.#idleWaiters]) wake();
  }

  #scheduleExpiry(): void {
    this.#cancelExpiry?.();
    this.#cancelExpiry = undefined;
    if (this.#keepAliveMs <= 0) this.#onExpired();
    else if (Number.isFinite(this.#keepAliveMs)) {
      this.#cancelExpiry = this.#clock.after(this.#keepAliveMs, this.#onExpired);
    }
  }
}
