import type { SimulatedModel } from './models.ts';
import type { RunnerUse } from './runner.ts';
import type { RunnerRequest } from './scheduler.ts';

export interface PendingLoad {
  readonly model: SimulatedModel;
  readonly request: RunnerRequest;
  readonly signal: AbortSignal;
}

interface Waiting extends PendingLoad {
  readonly resolve: (use: RunnerUse) => void;
  readonly reject: (reason: unknown) => void;
}

/** Requests that need a load, served strictly one after the other. */
export class LoadQueue {
  readonly #serve: (pending: PendingLoad) => Promise<RunnerUse>;
  readonly #waiting: Waiting[] = [];
  #isServing = false;

  constructor(serve: (pending: PendingLoad) => Promise<RunnerUse>) {
    this.#serve = serve;
  }

  /** Without the one that is being served. */
  get length(): number {
    return this.#waiting.length;
  }

  add(model: SimulatedModel, request: RunnerRequest, signal: AbortSignal): Promise<RunnerUse> {
    return new Promise((resolve, reject) => {
      const entry: Waiting = { model, request, signal, resolve, reject };
      this.#waiting.push(entry);
      signal.addEventListener('abort', () => this.#leave(entry), { once: true });
      void this.#run();
    });
  }

  #leave(entry: Waiting): void {
    const index = this.#waiting.indexOf(entry);
    if (index < 0) return; // being served: `serve` watches the signal itself
    this.#waiting.splice(index, 1);
    entry.reject(entry.signal.reason);
  }

  async #run(): Promise<void> {
    if (this.#isServing) return;
    this.#isServing = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      try {
        next.resolve(await this.#serve(next));
      } catch (error) {
        next.reject(error);
      }
    }
    this.#isServing = false;
  }
}
