import type { RouteDecision } from '../../app/types.ts';
import { BodyScanner } from '../../request/body-scanner.ts';
import { BodyEditor } from '../../request/edit-body.ts';
import { RouterError } from '../../request/errors.ts';
import { SCAN_SLICE_BYTES } from '../../request/limits.ts';
import type { RouteRequest } from '../../request/types.ts';
import { longestWaitMs } from '../../waiting/longest-wait.ts';
import type {
  HttpBody,
  HttpHeaders,
  ProcessingRequest,
  ProcessingResponse,
} from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { AnswerOrder } from './answer-steps.ts';
import { bodyEcho } from './body-echo.ts';
import { HeldBody, type Taken } from './held-body.ts';
import type { Coming } from './idle-watch.ts';
import { HOLD_SLACK_MS, RequestStream, stepOf } from './request-stream.ts';
import type { Step } from './state.ts';

/**
 * start: nothing came yet. collecting: the answer to the headers is withheld while pieces of the body come. deciding: all came; read,
 * perhaps waiting for a slot. passing: pieces go on as they come, without a decision. sent: all of the request went on.
 * ended: answered for good, or broken.
 */
type Phase = 'start' | 'collecting' | 'deciding' | 'passing' | 'sent' | 'ended';

/**
 * A request in FULL_DUPLEX_STREAMED mode: the proxy keeps no body, and sends on only what it is sent back. The body is held until
 * its node is known, then headers, body and trailers go out in this order; the answer to it goes on as it comes.
 */
export class DuplexStream extends RequestStream {
  #phase: Phase = 'start';
  #body: HeldBody | undefined;
  #coming: Coming | undefined;
  #hasTrailers = false;
  #askedAt = 0;
  readonly #answer = new AnswerOrder();

  receive(message: ProcessingRequest): void {
    const step = stepOf(message);
    if (this.isOver || this.#phase === 'ended') return;
    if (step === undefined || (this.#phase === 'start') !== (step === 'request_headers')) {
      this.#break(step);
    } else if (step.startsWith('response')) {
      this.#takeAnswer(step, message);
    } else {
      this.#askedAt = this.deps.clock.now();
      this.guard(step, () => {
        if (step === 'request_headers') this.#begin(message, message.request_headers ?? {});
        else if (step === 'request_body') this.#takeBody(message.request_body ?? {});
        else this.#takeTrailers();
      });
    }
  }

  protected release(): void {
    this.#coming?.done();
    this.#body?.drop();
    this.#phase = 'ended';
  }

  protected endWith(reply: ProcessingResponse): void {
    this.release();
    this.#sendDecided(reply);
    this.call.end();
  }

  protected goOnUnrouted(): void {
    if (this.#phase === 'collecting' || this.#phase === 'deciding')
      this.goOn(this.shared.replies.pass('request_headers'));
    // Half of it went on already.
    else this.call.end();
  }

  /** Also where the body did not come to its end: what comes of it goes on as it comes. */
  protected goOn(reply: ProcessingResponse): void {
    const isWhole = this.#phase === 'deciding' || this.head?.hasBody === false;
    this.#phase = isWhole ? 'sent' : 'passing';
    this.#coming?.done();
    this.#sendDecided(reply);
    this.#sendBody(this.#body?.bytes ?? EMPTY, isWhole, false);
  }

  /** Whether the answer to the headers may wait for the end of the body. */
  protected mayHold(): boolean {
    return true;
  }

  /** It waits in the line, for at most `ms`. */
  protected holds(_ms: number): void {}

  /** Pieces of the body go on; `isChanged`: they are not those that came. */
  protected sendPieces(bytes: Uint8Array, isLast: boolean, _isChanged: boolean): void {
    for (const part of bodyEcho('request_body', bytes, isLast)) this.call.send(part);
  }

  #begin(message: ProcessingRequest, headers: HttpHeaders): void {
    this.#phase = 'collecting';
    const verdict = this.readHead(message, headers);
    if (verdict === 'pass') this.goOnUnrouted();
    if (verdict !== 'read_on') return;
    if (!this.mayHold()) {
      this.shared.problem('request_body_streamed');
      this.goOnUnrouted();
      return;
    }
    const length = this.head?.contentLength;
    if (length !== undefined && length > this.shared.maxBodyBytes) throw this.#tooLarge();
    this.#body = new HeldBody(this.shared.budget, this.shared.maxBodyBytes, length);
    this.#coming = this.shared.idle.add(() => this.#refuseIdle());
  }

  #takeBody({ body = EMPTY, end_of_stream }: HttpBody): void {
    const isLast = end_of_stream === true;
    if (this.#phase === 'passing') {
      this.sendPieces(body, isLast, false);
      if (isLast) this.#phase = 'sent';
    } else if (this.#phase === 'collecting') {
      this.#coming?.moved();
      const taken = this.#body?.add(body) ?? 'taken';
      if (taken !== 'taken') throw this.#notTaken(taken);
      if (isLast) this.#decide();
    }
    // Else it comes after the end, which some Envoys tell twice.
  }

  /** They are the end of the body too. */
  #takeTrailers(): void {
    if (this.#phase === 'passing') {
      this.call.send(this.shared.replies.continue('request_trailers'));
      this.#phase = 'sent';
    } else if (this.#phase === 'collecting') {
      this.#hasTrailers = true;
      this.#decide();
    }
  }

  #decide(): void {
    this.#coming?.done();
    this.#phase = 'deciding';
    const bytes = this.#body?.bytes ?? EMPTY;
    const { endpoint } = this;
    if (bytes.length === 0) throw new RouterError('missing_body', 'missing request body');
    if (endpoint === undefined) throw new Error('a body came without an endpoint');
    const scanner = new BodyScanner(endpoint, bytes.length);
    this.#inSlices(
      () => scanner.step(bytes, SCAN_SLICE_BYTES),
      () => this.#route(scanner.result()),
    );
  }

  #route(request: RouteRequest): void {
    const caller = this.place(request, 'request_body', (decision) => this.#dispatch(decision));
    if (this.placed?.isWaiting !== true) return;
    this.#body?.keep();
    if (caller !== undefined) this.holds(longestWaitMs(caller) + HOLD_SLACK_MS);
  }

  /** Its node is known: all of the request goes out, changed where that was decided. */
  #dispatch(decision: RouteDecision): void {
    const { endpoint } = this;
    const bytes = this.#body?.bytes ?? EMPTY;
    if (endpoint === undefined || decision.edits.length === 0) {
      this.#sendRouted(decision, bytes);
      return;
    }
    const editor = new BodyEditor(endpoint, decision.edits);
    this.#inSlices(
      () => editor.step(bytes, SCAN_SLICE_BYTES),
      () => {
        const edited = editor.result();
        this.#sendRouted(decision, edited, edited === bytes ? undefined : edited);
      },
    );
  }

  /** Does long work while others get their turn; short work at once. */
  #inSlices(slice: () => boolean, done: () => void): void {
    if (slice()) {
      done();
      return;
    }
    this.shared.turns.add(() => {
      let isDone = true;
      this.guard('request_body', () => {
        // The client may have gone, or Envoy answered by itself, while the body waited for its turn.
        if (this.isOver || this.#phase !== 'deciding') return;
        isDone = slice();
        if (isDone) done();
      });
      return isDone;
    });
  }

  #sendRouted(decision: RouteDecision, bytes: Uint8Array, changed?: Uint8Array): void {
    const { head, modes } = this;
    if (head === undefined) throw new Error('a decision came without a request');
    const routed = { step: 'request_headers', head, modes, body: changed } as const;
    this.#phase = 'sent';
    this.call.together(() => {
      this.#sendDecided(this.shared.replies.routed(decision, routed));
      this.#sendBody(bytes, true, changed !== undefined);
    });
  }

  /** The body that was held, and what came after it. */
  #sendBody(bytes: Uint8Array, isWhole: boolean, isChanged: boolean): void {
    if (bytes.length > 0) this.sendPieces(bytes, isWhole && !this.#hasTrailers, isChanged);
    if (this.#hasTrailers) this.call.send(this.shared.replies.continue('request_trailers'));
    this.#body?.drop();
  }

  #takeAnswer(step: Step, message: ProcessingRequest): void {
    const order = this.#answer.next(step, message);
    if (order === 'too_late') return;
    if (order === 'out_of_order') {
      this.#break(step);
      return;
    }
    // An answer before the request went on is the proxy's own: the request waits for nothing any more.
    if (this.#phase === 'collecting' || this.#phase === 'deciding') {
      this.finish();
      this.#coming?.done();
      this.#body?.drop();
      this.#phase = 'sent';
    }
    this.passAnswer(step, message);
  }

  #sendDecided(reply: ProcessingResponse): void {
    this.call.send(reply);
    this.deps.telemetry.processorAnswered((this.deps.clock.now() - this.#askedAt) / 1000);
  }

  #break(step: Step | undefined): void {
    this.release();
    this.violate(step);
  }

  #refuseIdle(): void {
    this.refuse(new RouterError('missing_body', 'the request body did not come to its end in time'));
  }

  #notTaken(taken: Exclude<Taken, 'taken'>): RouterError {
    if (taken === 'too_large') return this.#tooLarge();
    return new RouterError('line_full', 'too many request bodies are held at once, try again later');
  }

  #tooLarge(): RouterError {
    const mib = this.shared.maxBodyBytes / (1024 * 1024);
    const readable = Number.isInteger(mib) ? `${mib} MiB` : `${this.shared.maxBodyBytes} bytes`;
    return new RouterError('body_too_large', `the request body is larger than ${readable}`);
  }
}

const EMPTY = new Uint8Array(0);
