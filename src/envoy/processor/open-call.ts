import { ProcessingMode_BodySendMode as BodyMode } from '../gen/envoy/extensions/filters/http/ext_proc/v3/processing_mode.ts';
import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { DuplexStream } from './duplex-stream.ts';
import { EagerStream } from './eager-stream.ts';
import { MODES_DUPLEX, MODES_UNTOLD, modesOf, type StreamModes } from './modes.ts';
import { ProcessStream } from './process-stream.ts';
import type { ProcessCall, ProcessorDependencies, RequestStream, Shared } from './request-stream.ts';
import { toldMode } from './told-mode.ts';

/** A proxy that does not tell its mode: so long its body may take to come by itself, ms. Envoys wait 200 ms for answers. */
const UNTOLD_MS = 100;

/** One call of a proxy's. Its first message tells how the stream is driven. */
export class OpenCall {
  readonly #call: ProcessCall;
  readonly #deps: ProcessorDependencies;
  readonly #shared: Shared;
  /** Came, while nothing tells the mode. */
  #first: ProcessingRequest | undefined;
  #stream: RequestStream | undefined;
  #isObserved = false;
  #stopWaiting: () => void = NOTHING;
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
    if (this.#stream !== undefined) this.#stream.receive(message);
    else if (!this.#isObserved && this.#onOver !== undefined) this.#recognise(message);
  }

  #recognise(message: ProcessingRequest): void {
    const first = this.#first;
    if (first === undefined) this.#shared.onStream?.(toldMode(message));
    if (first !== undefined) {
      // A body that comes though nothing was answered: only a duplex filter does that.
      if (message.request_body) this.#shared.untold.isDuplex = true;
      this.#drive(first, MODES_DUPLEX).receive(message);
    } else if (message.observability_mode === true) {
      this.#isObserved = true;
      this.#shared.problem('observed_only');
    } else {
      const modes = modesOf(message) ?? this.#modesOfUntold(message);
      if (modes !== undefined) this.#drive(message, modes);
      else this.#waitForBody(message);
    }
  }

  /** Undefined: it must be found out. */
  #modesOfUntold({ request_headers }: ProcessingRequest): StreamModes | undefined {
    if (this.#shared.profile === 'own' || !request_headers || request_headers.end_of_stream === true)
      return MODES_UNTOLD;
    return this.#shared.untold.isDuplex ? MODES_DUPLEX : undefined;
  }

  #waitForBody(first: ProcessingRequest): void {
    this.#first = first;
    this.#stopWaiting = this.#deps.clock.after(UNTOLD_MS, () => this.#drive(first, MODES_UNTOLD));
  }

  #drive(first: ProcessingRequest, modes: StreamModes): RequestStream {
    this.#stopWaiting();
    const Stream = this.#streamOf(modes);
    const stream = new Stream(this.#call, this.#deps, this.#shared, modes);
    this.#stream = stream;
    stream.receive(first);
    return stream;
  }

  #streamOf({ request, isEager }: StreamModes): typeof DuplexStream | typeof ProcessStream {
    if (request === BodyMode.FULL_DUPLEX_STREAMED) return DuplexStream;
    const comesUnasked = request === BodyMode.STREAMED && isEager && this.#shared.profile !== 'own';
    return comesUnasked ? EagerStream : ProcessStream;
  }

  #over(): void {
    const onOver = this.#onOver;
    if (onOver === undefined) return;
    this.#onOver = undefined;
    this.#stopWaiting();
    this.#stream?.over();
    onOver();
  }
}

const NOTHING = () => undefined;
