import type { RouteDecision } from '../../app/types.ts';
import { BodyScanner } from '../../request/body-scanner.ts';
import { BodyEditor } from '../../request/edit-body.ts';
import { RouterError } from '../../request/errors.ts';
import { SCAN_SLICE_BYTES } from '../../request/limits.ts';
import { scanBones } from '../../request/scan-bones.ts';
import type { RouteRequest } from '../../request/types.ts';
import { longestWaitMs } from '../../waiting/longest-wait.ts';
import { ProcessingMode_BodySendMode as BodyMode } from '../gen/envoy/extensions/filters/http/ext_proc/v3/processing_mode.ts';
import type {
  HttpBody,
  HttpHeaders,
  ProcessingRequest,
  ProcessingResponse,
} from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { readAnswerHead } from './answer-head.ts';
import type { RequestHead } from './request-head.ts';
import { HOLD_SLACK_MS, RequestStream, stepOf } from './request-stream.ts';
import { decide, INITIAL, isOwed, receive, type Step, type StreamState } from './state.ts';

/** A request whose answer to the headers is not withheld: the body comes whole, and only where it was asked for. */
export class ProcessStream extends RequestStream {
  #state: StreamState = INITIAL;
  #decision: RouteDecision | undefined;
  #isHeld = false;
  #askedAt = 0;
  #releaseBody: () => void = NOTHING;

  receive(message: ProcessingRequest): void {
    if (this.isOver) return;
    const step = stepOf(message);
    const before = this.#state;
    const { state, action } = receive(before, step);
    this.#state = state;
    this.#askedAt = this.deps.clock.now();
    this.#isHeld = false;
    if (action === 'ignore') return;
    if (action === 'violate' || step === undefined) {
      this.violate(step);
    } else if (action === 'continue') {
      if (isAwaitingBody(before) && isAnswered(message)) this.shared.problem('request_body_not_sent');
      // Envoy has answered by itself: the request waits for nothing any more.
      if (this.placed?.isWaiting === true) this.finish();
      if (step.startsWith('response')) this.passAnswer(step, message);
      else this.#send(this.shared.replies.continue(step));
    } else {
      if (action !== 'decide_by_head') this.shared.signs.note('requestBody', this.modes.request, true);
      this.guard(step, () => {
        if (action === 'decide_by_head') this.#decideByHead(message, message.request_headers ?? {});
        else if (this.#isPart(message.request_body ?? {})) this.#passPart();
        else if (action === 'edit_body') this.#edit(message.request_body?.body ?? EMPTY);
        else this.#decideByBody(message.request_body ?? {});
      });
    }
  }

  protected release(): void {
    // Our own Envoy sends what it is asked for: there it was the client who left.
    if (this.shared.profile !== 'own' && isAwaitingBody(this.#state))
      this.shared.signs.note('requestBody', this.modes.request, false);
    this.#releaseBody();
    this.#state = decide(this.#state, 'ended');
  }

  protected goOnUnrouted(step: Step): void {
    this.goOn(this.shared.replies.pass(step));
  }

  protected goOn(reply: ProcessingResponse): void {
    this.#state = decide(this.#state, 'answered');
    this.#send(reply);
  }

  protected endWith(reply: ProcessingResponse): void {
    this.#state = decide(this.#state, 'ended');
    this.#send(reply);
    this.call.end();
  }

  #decideByHead(message: ProcessingRequest, headers: HttpHeaders): void {
    const verdict = this.readHead(message, headers);
    if (verdict === 'pass') this.goOnUnrouted('request_headers');
    const { head, endpoint } = this;
    if (verdict !== 'read_on' || head === undefined || endpoint === undefined) return;
    const request =
      head.bones === undefined ? undefined : scanBones(head.bones, endpoint, bodyBytes(head, head.bones));
    if (request === undefined) {
      this.#state = decide(this.#state, 'ask_body');
      this.#askBody(head);
    } else {
      this.#route(request, 'request_headers');
    }
  }

  /** Room is kept for the body, but not for ever, where the filter is not ours: it may never come. */
  #askBody(head: RequestHead): void {
    const giveBack = this.shared.budget.reserve(head.contentLength, () =>
      this.#send(this.shared.replies.askBody(this.modes)),
    );
    this.#releaseBody = giveBack;
    if (this.shared.profile === 'own') return;
    const coming = this.shared.idle.add(giveBack);
    this.#releaseBody = () => {
      coming.done();
      giveBack();
    };
  }

  /** Only the beginning of a body came, though the whole was asked for. */
  #isPart({ end_of_stream }: HttpBody): boolean {
    const { request } = this.modes;
    const mayBePart = request === BodyMode.STREAMED || request === BodyMode.BUFFERED_PARTIAL;
    return mayBePart && end_of_stream !== true;
  }

  #passPart(): void {
    const isStreamed = this.modes.request === BodyMode.STREAMED;
    this.shared.problem(isStreamed ? 'request_body_streamed' : 'request_body_partial');
    this.finish();
    this.#releaseBody();
    this.goOnUnrouted('request_body');
  }

  #decideByBody(message: HttpBody): void {
    const bytes = message.body ?? EMPTY;
    const { endpoint } = this;
    if (bytes.length === 0) throw new RouterError('missing_body', 'missing request body');
    if (endpoint === undefined) throw new Error('a body came without an endpoint');
    const scanner = new BodyScanner(endpoint, bytes.length);
    if (scanner.step(bytes, SCAN_SLICE_BYTES)) {
      this.#route(scanner.result(), 'request_body', bytes);
      return;
    }
    this.shared.turns.add(() => {
      let isDone = true;
      this.guard('request_body', () => {
        // The client may have gone, or Envoy answered by itself, while the body waited for its turn.
        if (this.isOver || this.#state.phase !== 'scanning') return;
        isDone = scanner.step(bytes, SCAN_SLICE_BYTES);
        if (isDone) this.#route(scanner.result(), 'request_body', bytes);
      });
      return isDone;
    });
  }

  /** `bytes`: the body, where it is at hand. */
  #route(request: RouteRequest, step: 'request_headers' | 'request_body', bytes?: Uint8Array): void {
    const caller = this.place(request, step, (decision) => this.#dispatch(decision, step, bytes));
    if (this.placed?.isWaiting !== true || caller === undefined) return;
    // The line counts what waits in it; room for bodies is for those that are being read.
    this.#releaseBody();
    this.#send(this.shared.replies.hold(longestWaitMs(caller) + HOLD_SLACK_MS));
    this.#isHeld = true;
  }

  /** Its node is known: the answer goes out, now or with the changed body. */
  #dispatch(decision: RouteDecision, step: 'request_headers' | 'request_body', bytes?: Uint8Array): void {
    const { head } = this;
    if (head === undefined) throw new Error('a decision came without a request');
    this.#decision = decision;
    if (decision.edits.length === 0) {
      this.#releaseBody();
      this.#state = decide(this.#state, 'answered');
      this.#send(this.shared.replies.routed(decision, { step, head, modes: this.modes }));
    } else if (bytes !== undefined) {
      this.#edit(bytes);
    } else {
      this.#state = decide(this.#state, 'ask_edit');
      this.#askBody(head);
    }
  }

  /** Changes the body as was decided: small ones at once, large ones in slices. */
  #edit(bytes: Uint8Array): void {
    const decision = this.#decision;
    const { endpoint, head, modes } = this;
    if (decision === undefined || endpoint === undefined || head === undefined)
      throw new Error('a body came to be changed without a decision');
    const editor = new BodyEditor(endpoint, decision.edits);
    const step = (): boolean => {
      if (!editor.step(bytes, SCAN_SLICE_BYTES)) return false;
      this.#releaseBody();
      this.#state = decide(this.#state, 'answered');
      const routed = { step: 'request_body', head, modes, body: editor.result() } as const;
      this.#send(this.shared.replies.routed(decision, routed));
      return true;
    };
    if (step()) return;
    this.shared.turns.add(() => {
      let isDone = true;
      this.guard('request_body', () => {
        // The client may have gone while the body waited for its turn.
        if (!this.isOver && isOwed(this.#state)) isDone = step();
      });
      return isDone;
    });
  }

  #send(reply: ProcessingResponse): void {
    this.call.send(reply);
    // Waiting for a slot is not the time that an answer takes.
    if (!this.#isHeld) this.deps.telemetry.processorAnswered((this.deps.clock.now() - this.#askedAt) / 1000);
  }
}

const NOTHING = () => undefined;
const EMPTY = new Uint8Array(0);

function isAwaitingBody({ phase }: StreamState): boolean {
  return phase === 'awaiting_body' || phase === 'awaiting_edit';
}

/** By a node: the proxy itself has refusals only. */
function isAnswered(message: ProcessingRequest): boolean {
  if (!message.response_headers) return false;
  const { status } = readAnswerHead(message);
  return status >= 200 && status < 300;
}

/** Chunked bodies do not say how long they are; their bones are a lower bound. */
function bodyBytes(head: RequestHead, bones: string): number {
  return head.contentLength ?? Buffer.byteLength(bones);
}
