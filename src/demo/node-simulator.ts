import { formatHostPort } from '../app/host-port.ts';
import type { Clock } from '../app/ports.ts';
import { systemClock } from '../app/system-clock.ts';
import { MODEL_ENDPOINTS } from './endpoints.ts';
import { type Fault, FaultList } from './faults.ts';
import { Inference } from './inference.ts';
import { Listener } from './listener.ts';
import { canonicalName, type ModelOptions, type SimulatedModel, simulateModel } from './models.ts';
import { isFromPoller, pathOf, RequestHandler } from './request-handler.ts';
import { type RecordedRequest, RequestLog } from './request-log.ts';
import { Scheduler } from './scheduler.ts';

const GIB = 2 ** 30;

export interface SimulatedNodeOptions {
  readonly name: string;
  readonly models: readonly ModelOptions[];
  /** 0: no GPU. */
  readonly vramBytes?: number;
  /** Requests at once per loaded model (OLLAMA_NUM_PARALLEL). */
  readonly slots?: number;
  readonly tokensPerSecond?: number;
  readonly promptTokensPerSecond?: number;
  readonly loadBytesPerSecond?: number;
  /** How many times faster than these three rates everything runs. keep_alive is never scaled. */
  readonly timeScale?: number;
  readonly maxLoaded?: number;
  readonly maxQueue?: number;
  readonly defaultContext?: number;
  readonly defaultKeepAliveMs?: number;
  readonly defaultTokens?: number;
  readonly naturalEnd?: number;
  readonly version?: string;
  readonly host?: string;
  readonly port?: number;
  /** 403 to foreign Host and Origin headers, as Ollama on loopback does. */
  readonly checksOrigin?: boolean;
  readonly logLimit?: number;
  readonly clock?: Clock;
}

export interface NodeStats {
  readonly requests: number;
  /** Requests that hold a slot now, and the most that ever did. */
  readonly running: number;
  readonly maxRunning: number;
  readonly waitingForSlot: number;
  readonly waitingForLoad: number;
  readonly loads: number;
  readonly evictions: number;
  readonly connections: number;
}

/** A server that behaves like Ollama but computes nothing: memory, slots, queues, timing and faults. */
export class SimulatedNode {
  readonly name: string;
  readonly #clock: Clock;
  readonly #models: Map<string, SimulatedModel>;
  readonly #log: RequestLog;
  readonly #faults = new FaultList();
  readonly #listener: Listener;
  readonly #scheduler: Scheduler;
  #running = 0;
  #maxRunning = 0;
  #cancelRevival: (() => void) | undefined;

  constructor(options: SimulatedNodeOptions) {
    const clock = options.clock ?? systemClock;
    const scale = options.timeScale ?? 1;
    this.name = options.name;
    this.#clock = clock;
    this.#models = new Map(
      options.models.map((model) => [canonicalName(model.name), simulateModel(model, clock.date())]),
    );
    this.#log = new RequestLog(options.logLimit ?? 100_000);
    this.#scheduler = new Scheduler({
      clock,
      vramBytes: options.vramBytes ?? 24 * GIB,
      slots: options.slots ?? 1,
      maxLoaded: options.maxLoaded ?? 3,
      maxQueue: options.maxQueue ?? 512,
      defaultContext: options.defaultContext ?? 4096,
      defaultKeepAliveMs: options.defaultKeepAliveMs ?? 300_000,
      loadBytesPerSecond: (options.loadBytesPerSecond ?? 2 * GIB) * scale,
    });
    const inference = new Inference({
      clock,
      scheduler: this.#scheduler,
      tokensPerSecond: (options.tokensPerSecond ?? 50) * scale,
      promptTokensPerSecond: (options.promptTokensPerSecond ?? 2000) * scale,
      naturalEnd: options.naturalEnd,
      defaultTokens: options.defaultTokens ?? 32,
      onRunning: (delta) => {
        this.#running += delta;
        this.#maxRunning = Math.max(this.#maxRunning, this.#running);
      },
    });
    const host = options.host ?? '127.0.0.1';
    const handler = new RequestHandler({
      clock,
      models: this.#models,
      log: this.#log,
      faults: this.#faults,
      scheduler: this.#scheduler,
      inference,
      version: options.version ?? '0.24.0',
      checksOrigin: options.checksOrigin ?? host.startsWith('127.'),
      kill: (downMs) => this.kill({ downMs }),
    });
    this.#listener = new Listener(host, options.port ?? 0, (request, response) => {
      void handler.handle(request, response);
    });
  }

  /** `ip:port`, IPv6 in brackets. */
  get address(): string {
    return formatHostPort(this.#listener);
  }

  get url(): string {
    return `http://${this.address}`;
  }

  get port(): number {
    return this.#listener.port;
  }

  /** Oldest first. */
  get requests(): readonly RecordedRequest[] {
    return this.#log.entries;
  }

  /** Only those that needed a model. */
  get inferenceRequests(): readonly RecordedRequest[] {
    return this.#log.entries.filter(
      (request) => MODEL_ENDPOINTS.has(pathOf(request.path)) && !isFromPoller(request.headers),
    );
  }

  clearRequests(): void {
    this.#log.clear();
  }

  stats(): NodeStats {
    const runners = this.#scheduler.loaded;
    return {
      requests: this.#log.count,
      running: this.#running,
      maxRunning: this.#maxRunning,
      waitingForSlot: runners.reduce((sum, runner) => sum + runner.waiting, 0),
      ...this.#scheduler.counters,
      connections: this.#listener.connections,
    };
  }

  /** Names of the models in memory. */
  loaded(): string[] {
    return this.#scheduler.loaded.map((runner) => runner.model.name);
  }

  /** Loads a model as an empty prompt would. */
  async load(name: string, options: { numCtx?: number; keepAliveMs?: number } = {}): Promise<void> {
    const model = this.#models.get(canonicalName(name));
    if (model === undefined) throw new Error(`${this.name} has no model ${name}`);
    const request = { numCtx: options.numCtx, keepAliveMs: options.keepAliveMs };
    const use = await this.#scheduler.use(model, request, new AbortController().signal);
    use.release();
  }

  addModel(model: ModelOptions): void {
    this.#models.set(canonicalName(model.name), simulateModel(model, this.#clock.date()));
  }

  removeModel(name: string): void {
    this.#models.delete(canonicalName(name));
  }

  /** Replaces all faults; undefined heals the node. Resolves when the fault is in force. */
  async setFault(fault: Fault | undefined): Promise<void> {
    this.#faults.clear();
    this.#cancelRevival?.();
    if (fault?.kind === 'refuse') this.#listener.refuse();
    else if (fault?.kind === 'never_accept') await this.#listener.neverAccept();
    else await this.#listener.open();
    if (fault !== undefined) this.addFault(fault);
  }

  /** One more fault beside those in force; the first set wins where several apply. */
  addFault(fault: Fault): void {
    if (fault.kind === 'refuse' || fault.kind === 'never_accept') return;
    this.#faults.add(fault);
  }

  /** Dies as if killed: connections break, nothing listens, memory is empty. It comes back after `downMs`, if given. */
  kill({ downMs, how = 'fin' }: { downMs?: number; how?: 'fin' | 'rst' } = {}): void {
    this.#listener.kill(how);
    this.#scheduler.clear();
    this.#cancelRevival?.();
    if (downMs !== undefined) this.#cancelRevival = this.#clock.after(downMs, () => void this.start());
  }

  /** Listens (again), on the port it had. */
  async start(): Promise<void> {
    await this.#listener.open();
  }

  async close(): Promise<void> {
    this.#cancelRevival?.();
    await this.#listener.close();
    this.#scheduler.clear();
  }
}

export async function startSimulatedNode(options: SimulatedNodeOptions): Promise<SimulatedNode> {
  const node = new SimulatedNode(options);
  await node.start();
  return node;
}
