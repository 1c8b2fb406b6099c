import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { MODES_UNTOLD, modesOf } from './modes.ts';
import { ProcessStream } from './process-stream.ts';
import type { ProcessCall, ProcessorDependencies, RequestStream, Shared } from './request-stream.ts';

/** One call of a proxy's. Its first message tells how the stream is driven. */
export class OpenCall {
  readonly #call: ProcessCall;
  readonly #deps: ProcessorDependencies;
  readonly #shared: Shared;
  #stream: RequestStream | undefined;
  #onOver: (() => void) | undefined;

  constructor(call: ProcessCall, deps: ProcessorDependencies, shared: Shared) {
    this.#call = call;
    this.#deps = deps;
    this.#shared = shared;
  }

  /** `onOver` runs once, when the call is over for whatever reason. */
  start(onOver: () => void): void {
    this.#onOver = onOver;
    this.#call.listen({
      onMessage: (message) => this.#receive(message),
      onEnd: () => this.close(),
      onOver: () => this.#over(),
    });
  }

  /** Ends the call from our side; Envoy lets the request go on as it is. */
  close(): void {
    this.#over();
    this.#call.end();
  }

  #receive(message: ProcessingRequest): void {
    this.#stream ??= this.#streamFor(message);
    this.#stream.receive(message);
  }

  #streamFor(message: ProcessingRequest): RequestStream {
    const modes = modesOf(message) ?? MODES_UNTOLD;
    return new ProcessStream(this.#call, this.#deps, this.#shared, modes);
  }

  #over(): void {
    const onOver = this.#onOver;
    if (onOver === undefined) return;
    this.#onOver = undefined;
    this.#stream?.over();
    onOver();
  }
}
