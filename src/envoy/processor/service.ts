import { loadService } from '../grpc/load-proto.ts';
import type { GrpcService } from '../grpc/service.ts';
import { BodyBudget } from './body-budget.ts';
import {
  type ProcessCall,
  type ProcessorDependencies,
  ProcessStream,
  type Shared,
} from './process-stream.ts';
import { Replies } from './replies.ts';
import { Turns } from './turns.ts';

export interface ProcessorOptions {
  /** Asks Envoy for response headers as well. Costs one more message; the access log tells the served node without. */
  readonly wantsResponseHeaders?: boolean;
  /** Request bodies that may be in this process at once, bytes. */
  readonly bodyBudgetBytes?: number;
}

/** Envoy's external processor: one stream per request. */
export class ProcessorService implements GrpcService {
  readonly definition = loadService(
    'envoy/service/ext_proc/v3/external_processor.proto',
    'envoy.service.ext_proc.v3.ExternalProcessor',
  );
  readonly implementation = { Process: (call: ProcessCall) => this.#open(call) };
  readonly #deps: ProcessorDependencies;
  readonly #shared: Shared;
  readonly #streams = new Set<ProcessStream>();
  #onIdle: (() => void)[] = [];

  constructor(deps: ProcessorDependencies, options: ProcessorOptions = {}) {
    this.#deps = deps;
    this.#shared = {
      replies: new Replies({ wantsResponseHeaders: options.wantsResponseHeaders ?? false }),
      turns: new Turns(() => deps.clock.now(), setImmediate),
      budget: new BodyBudget(options.bodyBudgetBytes),
    };
  }

  /** Requests under way. */
  get openStreams(): number {
    return this.#streams.size;
  }

  settled(): Promise<void> {
    if (this.#streams.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  close(): void {
    for (const stream of [...this.#streams]) stream.close();
  }

  #open(call: ProcessCall): void {
    const stream = new ProcessStream(call, this.#deps, this.#shared);
    this.#streams.add(stream);
    this.#deps.telemetry.processorStreamOpened();
    stream.start(() => this.#closed(stream));
  }

  #closed(stream: ProcessStream): void {
    this.#streams.delete(stream);
    this.#deps.telemetry.processorStreamClosed();
    if (this.#streams.size > 0) return;
    const waiting = this.#onIdle;
    this.#onIdle = [];
    for (const resolve of waiting) resolve();
  }
}
