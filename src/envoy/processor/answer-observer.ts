import type { ExtProcProblem } from '../../app/ext-proc-profile.ts';
import type { Log } from '../../app/log.ts';
import { NO_USAGE } from '../../app/no-usage.ts';
import type { Clock } from '../../app/ports.ts';
import type { AnswerRecorder, Outcome, OutcomeEnd, RouteDecision } from '../../app/types.ts';
import { outcomeEnd } from '../accesslog/outcome-end.ts';
import { ProcessingMode_BodySendMode as BodyMode } from '../gen/envoy/extensions/filters/http/ext_proc/v3/processing_mode.ts';
import type {
  ProcessingRequest,
  ProcessingResponse,
} from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { type AnswerHead, readAnswerHead } from './answer-head.ts';
import { AnswerTail } from './answer-tail.ts';
import { endsWell, usageIn } from './answer-usage.ts';
import type { AnswerWatch, WatchAnswer } from './answer-watch.ts';
import type { StreamModes } from './modes.ts';
import type { RequestHead } from './request-head.ts';
import { NO_WALK, type Walk, walkOf } from './walk.ts';

export interface AnswerObserverDependencies {
  /** Of this process: the stream ends where the decision was made. */
  readonly recorder: AnswerRecorder;
  readonly clock: Clock;
  readonly log: Log;
  readonly onProblem: (problem: ExtProcProblem, detail?: string) => void;
}

/** Learns from the ext_proc stream what the access log tells elsewhere: who answered, with what, how it ended, what it cost. */
export function watchAnswers(deps: AnswerObserverDependencies): WatchAnswer {
  return (head, modes) => new AnswerObserver(deps, head, modes);
}

/** What is known of an answer that came from somewhere. */
interface Answer {
  readonly head: AnswerHead;
  readonly walk: Walk;
  readonly at: number;
}

class AnswerObserver implements AnswerWatch {
  readonly #deps: AnswerObserverDependencies;
  readonly #request: RequestHead;
  readonly #since: number;
  readonly #tail = new AnswerTail();
  #decision: RouteDecision | undefined;
  #answer: Answer | undefined;
  #reply: Pick<Outcome, 'status' | 'details' | 'responseBytes'> | undefined;
  #bytes = 0;
  /** Pieces of the body come by. */
  #seesBody: boolean;
  /** Monotonic ms at which the last of the answer came by. */
  #endedAt: number | undefined;
  #isOver = false;

  constructor(deps: AnswerObserverDependencies, request: RequestHead, { response }: StreamModes) {
    this.#deps = deps;
    this.#request = request;
    this.#since = deps.clock.now();
    this.#seesBody = response === BodyMode.STREAMED || response === BodyMode.FULL_DUPLEX_STREAMED;
  }

  routed(decision: RouteDecision): void {
    this.#decision = decision;
  }

  headers(message: ProcessingRequest): void {
    if (this.#answer !== undefined || this.#isOver) return;
    this.#guard(() => {
      const { recorder, clock, onProblem } = this.#deps;
      const head = readAnswerHead(message);
      const walk = this.#decision === undefined ? NO_WALK : walkOf(this.#decision, head);
      this.#answer = { head, walk, at: clock.now() };
      if (head.isWhole) this.#endedAt = clock.now();
      for (const failure of walk.failures) recorder.attemptFailed(failure);
      if (this.#decision === undefined || walk.address === undefined) return;
      if (walk.isAssumed && head.isFromNode !== false) onProblem('served_endpoint_not_told');
      if (head.status < 400) recorder.servedBy(this.#decision.id, walk.address);
    });
  }

  body(bytes: Uint8Array, isLast: boolean): void {
    this.#seesBody = true;
    this.#bytes += bytes.length;
    if (this.#answer?.head.kind !== undefined && bytes.length > 0) this.#tail.push(bytes);
    if (isLast) this.#endedAt = this.#deps.clock.now();
  }

  trailers(): void {
    this.#endedAt = this.#deps.clock.now();
  }

  replied({ immediate_response: reply }: ProcessingResponse): void {
    if (reply === undefined) return;
    this.#reply = {
      status: reply.status?.code ?? 0,
      details: reply.details ?? '',
      responseBytes: reply.body?.length ?? 0,
    };
  }

  over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#guard(() => this.#deps.recorder.requestEnded(this.#outcome()));
  }

  #outcome(): Outcome {
    const now = this.#deps.clock.now();
    const { method, path, contentLength } = this.#request;
    const request = { method, path, requestBytes: contentLength ?? 0 };
    const totalMs = (this.#endedAt ?? now) - this.#since;
    const decisionId = this.#decision?.id;
    if (this.#reply !== undefined)
      return { ...UNROUTED, ...request, ...this.#reply, decisionId, totalMs, end: replyEnd(this.#reply) };
    const answer = this.#answer;
    // A client that leaves before the answer has begun: nothing else ends a stream so early.
    if (answer === undefined)
      return {
        ...UNROUTED,
        ...request,
        decisionId,
        address: this.#decision?.addresses[0],
        totalMs,
        end: 'client_gone',
      };
    const { head, walk } = answer;
    const usage = this.#usage(head);
    return {
      ...request,
      decisionId,
      status: head.status,
      details: head.details,
      flags: [...head.flags],
      address: walk.address,
      attempts: walk.attempts,
      firstByteMs: answer.at - this.#since,
      totalMs,
      responseBytes: this.#bytes,
      usage,
      end: this.#end(head, walk.attempts, usage.sawError),
    };
  }

  #end(head: AnswerHead, attempts: number, sawError: boolean): OutcomeEnd {
    const { status, details, flags } = head;
    if (status >= 400 || status === 0) return outcomeEnd({ status, details, flags, attempts, sawError });
    if (!this.#isEnded(head)) return 'client_gone';
    const isShort = this.#seesBody && head.lengthBytes !== undefined && this.#bytes < head.lengthBytes;
    if (isShort && this.#request.method !== 'HEAD') return 'truncated';
    return sawError ? 'in_band_error' : 'complete';
  }

  /** Where bodies do not come by, nobody can tell, and most answers come to their end. */
  #isEnded(head: AnswerHead): boolean {
    return this.#endedAt !== undefined || !this.#seesBody || this.#hasAll(head);
  }

  /** A client that has read the last event need not wait for the end of the stream. */
  #hasAll({ kind, lengthBytes }: AnswerHead): boolean {
    if (lengthBytes !== undefined && lengthBytes > 0 && this.#bytes >= lengthBytes) return true;
    return kind !== undefined && endsWell(this.#tail.text(), kind);
  }

  #usage(head: AnswerHead): Outcome['usage'] {
    const isSeen = this.#seesBody || head.isWhole;
    if (head.kind === undefined || !isSeen || !this.#isEnded(head)) return NO_USAGE;
    return usageIn(this.#tail.text(), head.kind);
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#deps.log.error({ err: error }, 'what became of a request could not be noted');
    }
  }
}

const UNROUTED = {
  decisionId: undefined,
  status: 0,
  details: '',
  flags: [],
  address: undefined,
  attempts: 0,
  firstByteMs: undefined,
  responseBytes: 0,
  usage: NO_USAGE,
} as const;

function replyEnd({ status, details }: Pick<Outcome, 'status' | 'details'>): OutcomeEnd {
  return outcomeEnd({ status, details, flags: NO_FLAGS, attempts: 0, sawError: false });
}

const NO_FLAGS: ReadonlySet<never> = new Set<never>();
