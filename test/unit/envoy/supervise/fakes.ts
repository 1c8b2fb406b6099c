import type { EnvoyAdmin } from '../../../../src/envoy/supervise/admin-client.ts';
import type { EnvoyChild, Exit } from '../../../../src/envoy/supervise/child.ts';

/** A process that ends when the test says so, or when it is killed with a signal that it obeys. */
export class FakeChild implements EnvoyChild {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  readonly signals: NodeJS.Signals[] = [];
  readonly #obeys: ReadonlySet<NodeJS.Signals>;
  readonly #resolve: (exit: Exit) => void;

  constructor(pid: number, obeys: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGKILL']) {
    this.pid = pid;
    this.#obeys = new Set(obeys);
    const { promise, resolve } = Promise.withResolvers<Exit>();
    this.exited = promise;
    this.#resolve = resolve;
  }

  kill(signal: NodeJS.Signals): void {
    this.signals.push(signal);
    if (this.#obeys.has(signal)) this.#resolve({ code: null, signal });
  }

  exit(code: number): void {
    this.#resolve({ code, signal: null });
  }
}

/** An admin interface with a number of running requests. */
export class FakeAdmin implements EnvoyAdmin {
  active: number | undefined = 0;
  ready = true;
  drains = 0;

  isReady(): Promise<boolean> {
    return Promise.resolve(this.ready);
  }

  activeRequests(): Promise<number | undefined> {
    return Promise.resolve(this.active);
  }

  drain(): Promise<void> {
    this.drains++;
    return Promise.resolve();
  }
}
