import { errorReply } from '../../app/error-reply.ts';
import type { FleetReads } from '../../app/fleet-reads.ts';
import type { Log } from '../../app/log.ts';
import type { Clock } from '../../app/ports.ts';
import type { EnvoyTelemetry } from '../../app/telemetry-port.ts';
import type { PlacedRequest, RequestRouter, RouteDecision } from '../../app/types.ts';
import { BodyScanner } from '../../request/body-scanner.ts';
import { BodyEditor } from '../../request/edit-body.ts';
import { apiFamily, inferenceEndpoint } from '../../request/endpoints.ts';
import { RouterError } from '../../request/errors.ts';
import { SCAN_SLICE_BYTES } from '../../request/limits.ts';
import { scanBones } from '../../request/scan-bones.ts';
import type { InferenceEndpoint, RouteRequest } from '../../request/types.ts';
import { longestWaitMs } from '../../waiting/longest-wait.ts';
import type { Caller } from '../../waiting/types.ts';
import type {
  HttpBody,
  HttpHeaders,
  ProcessingRequest,
  ProcessingResponse,
} from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import type { GrpcCall } from '../grpc/call.ts';
import { STATUS } from '../grpc/status.ts';
import type { BodyBudget } from './body-budget.ts';
import type { Callers } from './callers.ts';
import type { Replies } from './replies.ts';
import { type RequestHead, readHead } from './request-head.ts';
import { decide, INITIAL, isOwed, receive, STEPS, type Step, type StreamState } from './state.ts';
import type { Turns } from './turns.ts';

export interface ProcessorDependencies {
  readonly router: RequestRouter;
  readonly reads: FleetReads;
  readonly telemetry: EnvoyTelemetry;
  readonly clock: Clock;
  readonly log: Log;
  /**
   * Whether Envoy knows the nodes that an answer would name. Until then requests pass unrouted, over the last known
   * ones. Undefined: always, as where endpoints are not ours to tell.
   */
  readonly canRoute?: () => boolean;
  /** Who asks. Undefined: nobody in particular, and nobody waits. */
  readonly callers?: Callers;
}

/** What all streams have in common. */
export interface Shared {
  readonly replies: Replies;
  readonly turns: Turns;
  readonly budget: BodyBudget;
}

export type ProcessCall = GrpcCall<ProcessingRequest, ProcessingResponse>;

/** One request's stream. Whatever happens to it, the router hears exactly once that the request is over. */
export class ProcessStream {
  readonly #call: ProcessCall;
  readonly #deps: ProcessorDependencies;
  readonly #replies: Replies;
  readonly #turns: Turns;
  readonly #budget: BodyBudget;
  #state: StreamState = INITIAL;
  #head: RequestHead | undefined;
  #endpoint: InferenceEndpoint | undefined;
  #placed: PlacedRequest | undefined;
  #decision: RouteDecision | undefined;
  #isHeld = false;
  #askedAt = 0;
  #onOver: () => void = NOTHING;
  #releaseBody: () => void = NOTHING;
  #isOver = false;

  constructor(call: ProcessCall, deps: ProcessorDependencies, shared: Shared) {
    this.#call = call;
    this.#deps = deps;
    this.#replies = shared.replies;
    this.#turns = shared.turns;
    this.#budget = shared.budget;
  }

  /** `onOver` runs once, when the stream is over for whatever reason. */
  start(onOver: () => void): void {
    this.#onOver = onOver;
    this.#call.listen({
      onMessage: (message) => this.#receive(message),
      onEnd: () => this.close(),
      onOver: () => this.#over(),
    });
  }

  /** Ends the stream from our side; Envoy lets the request go on as it is. */
  close(): void {
    this.#over();
    this.#call.end();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#releaseBody();
    this.#state = decide(this.#state, 'ended');
    this.#finish();
    this.#onOver();
  }

  #receive(message: ProcessingRequest): void {
    if (this.#isOver) return;
    const step = stepOf(message);
    const { state, action } = receive(this.#state, step);
    this.#state = state;
    this.#askedAt = this.#deps.clock.now();
    this.#isHeld = false;
    if (action === 'ignore') return;
    if (action === 'violate' || step === undefined) {
      this.#violate(step);
    } else if (action === 'continue') {
      // Envoy has answered by itself: the request waits for nothing any more.
      if (this.#placed?.isWaiting === true) this.#finish();
      this.#send(this.#replies.continue(step));
    } else {
      this.#guard(step, () => {
        if (action === 'decide_by_head') this.#decideByHead(message, message.request_headers ?? {});
        else if (action === 'edit_body') this.#edit(message.request_body?.body ?? EMPTY);
        else this.#decideByBody(message.request_body ?? {});
      });
    }
  }

  #decideByHead(message: ProcessingRequest, headers: HttpHeaders): void {
    const head = readHead(message, headers);
    this.#head = head;
    const read = this.#deps.reads.read(head.method, head.path, head.query);
    if (read !== undefined) {
      this.#endWith(this.#replies.read(read));
      return;
    }
    const endpoint = inferenceEndpoint(head.path);
    if (endpoint === undefined || head.method !== 'POST')
      throw new RouterError('not_allowed', 'this path is not allowed here');
    if (this.#deps.canRoute?.() === false) {
      this.#state = decide(this.#state, 'answered');
      this.#send(this.#replies.continue('request_headers'));
      return;
    }
    this.#endpoint = endpoint;
    if (!head.hasBody) throw new RouterError('missing_body', 'missing request body');
    if (head.encoding !== '')
      throw new RouterError('unsupported_encoding', 'compressed request bodies are not supported');
    const request =
      head.bones === undefined ? undefined : scanBones(head.bones, endpoint, bodyBytes(head, head.bones));
    if (request === undefined) {
      this.#state = decide(this.#state, 'ask_body');
      this.#releaseBody = this.#budget.reserve(head.contentLength, () => this.#send(this.#replies.askBody()));
    } else {
      this.#route(request, 'request_headers');
    }
  }

  #decideByBody(message: HttpBody): void {
    const bytes = message.body ?? EMPTY;
    const endpoint = this.#endpoint;
    if (bytes.length === 0) throw new RouterError('missing_body', 'missing request body');
    if (endpoint === undefined) throw new Error('a body came without an endpoint');
    const scanner = new BodyScanner(endpoint, bytes.length);
    if (scanner.step(bytes, SCAN_SLICE_BYTES)) {
      this.#route(scanner.result(), 'request_body', bytes);
      return;
    }
    this.#turns.add(() => {
      let isDone = true;
      this.#guard('request_body', () => {
        // The client may have gone, or Envoy answered by itself, while the body waited for its turn.
        if (this.#isOver || this.#state.phase !== 'scanning') return;
        isDone = scanner.step(bytes, SCAN_SLICE_BYTES);
        if (isDone) this.#route(scanner.result(), 'request_body', bytes);
      });
      return isDone;
    });
  }

  /** `bytes`: the body, where it is at hand. */
  #route(request: RouteRequest, step: 'request_headers' | 'request_body', bytes?: Uint8Array): void {
    const caller = this.#head === undefined ? undefined : this.#deps.callers?.(this.#head);
    const placed = this.#deps.router.place(request, caller ?? NOBODY, request.bodyBytes, {
      placed: (decision) => this.#guard(step, () => this.#dispatch(decision, step, bytes)),
      refused: (error) => this.#refuse(error),
    });
    this.#placed = placed;
    if (!placed.isWaiting || caller === undefined) return;
    // The line counts what waits in it; room for bodies is for those that are being read.
    this.#releaseBody();
    this.#send(this.#replies.hold(longestWaitMs(caller) + HOLD_SLACK_MS));
    this.#isHeld = true;
  }

  /** Its node is known: the answer goes out, now or with the changed body. */
  #dispatch(decision: RouteDecision, step: 'request_headers' | 'request_body', bytes?: Uint8Array): void {
    this.#decision = decision;
    if (decision.edits.length === 0) {
      this.#releaseBody();
      this.#state = decide(this.#state, 'answered');
      this.#send(this.#replies.routed(decision, step));
    } else if (bytes !== undefined) {
      this.#edit(bytes);
    } else {
      this.#state = decide(this.#state, 'ask_edit');
      this.#releaseBody = this.#budget.reserve(this.#head?.contentLength, () =>
        this.#send(this.#replies.askBody()),
      );
    }
  }

  /** Changes the body as was decided: small ones at once, large ones in slices. */
  #edit(bytes: Uint8Array): void {
    const decision = this.#decision;
    const endpoint = this.#endpoint;
    if (decision === undefined || endpoint === undefined)
      throw new Error('a body came to be changed without a decision');
    const editor = new BodyEditor(endpoint, decision.edits);
    const step = (): boolean => {
      if (!editor.step(bytes, SCAN_SLICE_BYTES)) return false;
      this.#releaseBody();
      this.#state = decide(this.#state, 'answered');
      this.#send(this.#replies.routed(decision, 'request_body', editor.result()));
      return true;
    };
    if (step()) return;
    this.#turns.add(() => {
      let isDone = true;
      this.#guard('request_body', () => {
        // The client may have gone while the body waited for its turn.
        if (!this.#isOver && isOwed(this.#state)) isDone = step();
      });
      return isDone;
    });
  }

  /** A refusal is told to the client; anything else fails open, so that a defect of ours costs no request. */
  #guard(step: Step, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof RouterError) this.#refuse(error);
      else this.#failOpen(step, error);
    }
  }

  #refuse(error: RouterError): void {
    const path = this.#head?.path ?? '';
    this.#deps.router.refused(error.code);
    const family = this.#endpoint?.family ?? apiFamily(path);
    this.#endWith(this.#replies.refusal(errorReply(error, family, this.#head?.requestId), error.code));
  }

  #failOpen(step: Step, error: unknown): void {
    this.#deps.log.error(
      { err: error, path: this.#head?.path },
      'a request could not be routed and goes on without',
    );
    this.#finish();
    this.#state = decide(this.#state, 'answered');
    this.#send(this.#replies.continue(step));
  }

  #violate(step: Step | undefined): void {
    this.#deps.log.warn({ step: step ?? 'unknown' }, 'an ext_proc stream broke the protocol and was ended');
    this.#finish();
    this.#call.end({ code: STATUS.invalidArgument, details: `unexpected ${step ?? 'message'}` });
  }

  #endWith(reply: ProcessingResponse): void {
    this.#state = decide(this.#state, 'ended');
    this.#send(reply);
    this.#call.end();
  }

  #send(reply: ProcessingResponse): void {
    this.#call.send(reply);
    // Waiting for a slot is not the time that an answer takes.
    if (!this.#isHeld)
      this.#deps.telemetry.processorAnswered((this.#deps.clock.now() - this.#askedAt) / 1000);
  }

  #finish(): void {
    const placed = this.#placed;
    if (placed === undefined) return;
    this.#placed = undefined;
    try {
      placed.finish();
    } catch (error) {
      this.#deps.log.error({ err: error }, 'a finished request could not be noted');
    }
  }
}

/** What we may need beyond a request's longest wait: the store, and a turn of the event loop. */
const HOLD_SLACK_MS = 5_000;
const NOBODY: Caller = { id: '', class: 'normal', maxWaitMs: 0, isPrivileged: false };
const NOTHING = () => undefined;
const EMPTY = new Uint8Array(0);

function stepOf(message: ProcessingRequest): Step | undefined {
  return STEPS.find((step) => message[step] !== undefined && message[step] !== null);
}

/** Chunked bodies do not say how long they are; their bones are a lower bound. */
function bodyBytes(head: RequestHead, bones: string): number {
  return head.contentLength ?? Buffer.byteLength(bones);
}
