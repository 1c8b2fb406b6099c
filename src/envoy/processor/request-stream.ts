import { errorReply } from '../../app/error-reply.ts';
import type { ExtProcProblem, ProfileName } from '../../app/ext-proc-profile.ts';
import type { StreamMode } from '../../app/ext-proc-report.ts';
import type { FleetReads } from '../../app/fleet-reads.ts';
import type { Log } from '../../app/log.ts';
import type { Clock } from '../../app/ports.ts';
import type { EnvoyTelemetry } from '../../app/telemetry-port.ts';
import type { PlacedRequest, RequestRouter, RouteDecision } from '../../app/types.ts';
import { apiFamily, inferenceEndpoint } from '../../request/endpoints.ts';
import { RouterError } from '../../request/errors.ts';
import type { InferenceEndpoint, RouteRequest } from '../../request/types.ts';
import type { Caller } from '../../waiting/types.ts';
import type {
  HttpHeaders,
  ProcessingRequest,
  ProcessingResponse,
} from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import type { GrpcCall } from '../grpc/call.ts';
import { STATUS } from '../grpc/status.ts';
import { AnswerEnd } from './answer-end.ts';
import { passAnswer } from './answer-steps.ts';
import type { AnswerWatch, WatchAnswer } from './answer-watch.ts';
import type { BodyBudget } from './body-budget.ts';
import type { Callers } from './callers.ts';
import type { FilterSigns } from './filter-signs.ts';
import type { IdleWatch } from './idle-watch.ts';
import { holdsBack, type StreamModes } from './modes.ts';
import type { Replies } from './replies.ts';
import { type RequestHead, readHead } from './request-head.ts';
import { STEPS, type Step } from './state.ts';
import { type SubsetHint, subsetHint } from './subset-hint.ts';
import { type NodeAddresses, testSelection, testServedHeader } from './test-selection.ts';
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
  readonly profile: ProfileName;
  readonly replies: Replies;
  readonly turns: Turns;
  readonly budget: BodyBudget;
  readonly idle: IdleWatch;
  /** Largest body that is held, bytes. */
  readonly maxBodyBytes: number;
  /** Where a conformance test may say where its requests go. */
  readonly testNodes: NodeAddresses | undefined;
  /** What was found out of proxies that do not tell their mode. */
  readonly untold: { isDuplex: boolean };
  readonly watchAnswer: WatchAnswer | undefined;
  /** Refusals carry their ids. */
  readonly tellsDecisions: boolean;
  readonly signs: FilterSigns;
  /** A stream has begun, of a proxy that says that it sends bodies so. */
  readonly onStream: ((mode: StreamMode) => void) | undefined;
  /** Something is wrong with how we are called. */
  problem(problem: ExtProcProblem, detail?: string): void;
}

export type ProcessCall = GrpcCall<ProcessingRequest, ProcessingResponse>;

/** What the head alone comes to: answered already, let pass without us, or to be read on. */
export type HeadVerdict = 'answered' | 'pass' | 'read_on';

/**
 * One request's stream: what is the same in every mode. Whatever happens to it, the router hears exactly once that the request
 * is over.
 */
export abstract class RequestStream {
  protected readonly call: ProcessCall;
  protected readonly deps: ProcessorDependencies;
  protected readonly shared: Shared;
  protected readonly modes: StreamModes;
  protected head: RequestHead | undefined;
  protected endpoint: InferenceEndpoint | undefined;
  protected placed: PlacedRequest | undefined;
  protected watch: AnswerWatch | undefined;
  protected isOver = false;
  #isRouted = false;
  #isTest = false;
  /** Undefined: our own Envoy, whose filter needs no proof. */
  readonly #answerEnd: AnswerEnd | undefined;
  #hint: SubsetHint | undefined;

  constructor(call: ProcessCall, deps: ProcessorDependencies, shared: Shared, modes: StreamModes) {
    this.call = call;
    this.deps = deps;
    this.shared = shared;
    this.modes = modes;
    this.#answerEnd = shared.profile === 'own' ? undefined : new AnswerEnd();
  }

  abstract receive(message: ProcessingRequest): void;
  /** Gives back what the request holds. */
  protected abstract release(): void;
  /** A defect of ours: the request goes on without a decision. */
  protected abstract goOnUnrouted(step: Step): void;
  /** The request goes on with this answer to its headers; its body is not looked at. */
  protected abstract goOn(reply: ProcessingResponse): void;
  /** The reply that ends the request goes out. */
  protected abstract endWith(reply: ProcessingResponse): void;

  /** The stream is over, for whatever reason. Idempotent. */
  over(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.release();
    this.finish();
    this.watch?.over();
    this.#noteSigns();
  }

  #noteSigns(): void {
    const { signs } = this.shared;
    if (this.#answerEnd === undefined || !this.#isRouted) return;
    signs.note('answerHeaders', this.modes.request, this.#answerEnd.hasHeaders);
    const came = this.#answerEnd.cameAt(this.deps.clock.now());
    if (came !== undefined) signs.note('answerEnd', this.modes.request, came);
  }

  /** Lets a step of the answer go on as it came, at once. */
  protected passAnswer(step: Step, message: ProcessingRequest): void {
    // Not so where our override was heeded: then none of it comes by.
    if (step === 'response_body' && holdsBack(this.modes.response))
      this.shared.problem('response_body_held_back');
    const served = this.#isTest ? testServedHeader(message) : undefined;
    if (served === undefined) passAnswer(this.call, step, message, this.modes.response, this.watch);
    else this.call.send({ response_headers: { response: { header_mutation: { set_headers: [served] } } } });
    this.#answerEnd?.see(message, this.deps.clock.now());
  }

  protected readHead(message: ProcessingRequest, headers: HttpHeaders): HeadVerdict {
    const head = readHead(message, headers);
    this.head = head;
    this.watch = this.shared.watchAnswer?.(head, this.modes);
    const selected = this.#testSelection(head);
    if (selected !== undefined) {
      this.#isTest = true;
      this.goOn(this.shared.replies.routed(selected, { step: 'request_headers', head, modes: this.modes }));
      return 'answered';
    }
    const read = this.deps.reads.read(head.method, head.path, head.query);
    if (read !== undefined) {
      this.#reply(this.shared.replies.read(read));
      return 'answered';
    }
    const endpoint = inferenceEndpoint(head.path);
    if (endpoint === undefined || head.method !== 'POST')
      throw new RouterError('not_allowed', 'this path is not allowed here');
    if (this.deps.canRoute?.() === false) return 'pass';
    this.endpoint = endpoint;
    if (!head.hasBody) throw new RouterError('missing_body', 'missing request body');
    if (head.encoding !== '')
      throw new RouterError('unsupported_encoding', 'compressed request bodies are not supported');
    // Our own Envoy names no endpoints.
    if (this.shared.profile !== 'own') this.#hint = subsetHint(message);
    return 'read_on';
  }

  #testSelection(head: RequestHead): RouteDecision | undefined {
    const { testNodes } = this.shared;
    const addresses = testNodes === undefined ? undefined : testSelection(head, testNodes);
    if (addresses === undefined) return undefined;
    return { id: 'test', addresses, perTryTimeoutMs: 0, retryNotFound: false, edits: [] };
  }

  /** Says who asks, and whether it waits: what became of it is told to `placed`. */
  protected place(
    request: RouteRequest,
    step: Step,
    placed: (decision: RouteDecision) => void,
  ): Caller | undefined {
    const hint = this.#hint;
    if (hint !== undefined && 'none' in hint)
      throw new RouterError('no_node', 'the gateway allows no endpoint for this request');
    const caller = this.head === undefined ? undefined : this.deps.callers?.(this.head);
    const asked = hint === undefined ? request : { ...request, among: hint.among };
    this.placed = this.deps.router.place(asked, caller ?? NOBODY, request.bodyBytes, {
      requestId: this.head?.requestId,
      placed: (decision) =>
        this.guard(step, () => {
          this.#isRouted = true;
          this.watch?.routed(decision);
          placed(decision);
        }),
      refused: (error, id) => this.refuse(error, id),
    });
    return caller;
  }

  /** A refusal is told to the client; anything else fails open, so that a defect of ours costs no request. */
  protected guard(step: Step, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof RouterError) this.refuse(error);
      else this.#failOpen(step, error);
    }
  }

  /** `id`: of the refusal, where it is remembered. */
  protected refuse(error: RouterError, id?: string): void {
    const path = this.head?.path ?? '';
    this.deps.router.refused(error.code);
    const family = this.endpoint?.family ?? apiFamily(path);
    const decisionId = this.shared.tellsDecisions ? id : undefined;
    const reply = errorReply(error, family, { requestId: this.head?.requestId, decisionId });
    this.#reply(this.shared.replies.refusal(reply, error.code));
  }

  #reply(reply: ProcessingResponse): void {
    this.watch?.replied(reply);
    this.endWith(reply);
  }

  protected violate(step: Step | undefined): void {
    const detail = `unexpected ${step ?? 'message'}`;
    this.shared.problem('protocol_violation', detail);
    this.finish();
    this.call.end({ code: STATUS.invalidArgument, details: detail });
  }

  protected finish(): void {
    const placed = this.placed;
    if (placed === undefined) return;
    this.placed = undefined;
    try {
      placed.finish();
    } catch (error) {
      this.deps.log.error({ err: error }, 'a finished request could not be noted');
    }
  }

  #failOpen(step: Step, error: unknown): void {
    this.deps.log.error(
      { err: error, path: this.head?.path },
      'a request could not be routed and goes on without',
    );
    this.finish();
    this.goOnUnrouted(step);
  }
}

/** What we may need beyond a request's longest wait: the store, and a turn of the event loop. */
export const HOLD_SLACK_MS = 5_000;

export function stepOf(message: ProcessingRequest): Step | undefined {
  return STEPS.find((step) => message[step] !== undefined && message[step] !== null);
}

const NOBODY: Caller = { id: '', class: 'normal', maxWaitMs: 0, isPrivileged: false };
