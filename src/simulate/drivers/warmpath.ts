import { NO_USAGE } from '../../app/no-usage.ts';
import type { Outcome, OutcomeEnd, PlacedRequest, RouteDecision, Usage } from '../../app/types.ts';
import type { NodeId } from '../../fleet/types.ts';
import {
  createSimControlPlane,
  DEFAULT_SETTINGS,
  type SimControlPlane,
  type WarmpathSettings,
} from '../control-plane.ts';
import { FleetFeed } from '../fleet-feed.ts';
import type { SimAttempt, SimDriver, SimHost, SimRequest } from '../types.ts';

/** The access log comes so long after the end of a request. */
const LOG_DELAY_MS = 1;
/** What Envoy tries again on the next node, beside failed connections: see the route's retry policy. */
const RETRIED_STATUS = new Set([429, 500, 502, 503, 504]);

interface Live {
  readonly request: SimRequest;
  readonly arrivedAt: number;
  placed: PlacedRequest | undefined;
  decision: RouteDecision | undefined;
  /** Which of the decision's addresses it is at. */
  attempt: number;
  firstByteAt: number | undefined;
  cancelTimeout: (() => void) | undefined;
  isOver: boolean;
}

/** Warmpath itself: the parts that decide in life, with Envoy's walk along the ranked list. */
export class WarmpathDriver implements SimDriver {
  readonly name: string = 'warmpath';
  decisions = 0;
  readonly #host: SimHost;
  readonly #feed: FleetFeed;
  readonly #control: SimControlPlane;
  readonly #live = new Map<number, Live>();

  constructor(host: SimHost, settings: WarmpathSettings = DEFAULT_SETTINGS) {
    this.#host = host;
    this.#feed = new FleetFeed(host, { health: settings.health });
    this.#control = createSimControlPlane(host, this.#feed, settings);
  }

  arrive(request: SimRequest): void {
    const live: Live = {
      request,
      arrivedAt: this.#host.clock.now(),
      placed: undefined,
      decision: undefined,
      attempt: 0,
      firstByteAt: undefined,
      cancelTimeout: undefined,
      isOver: false,
    };
    this.#live.set(request.id, live);
    const placed = this.#control.router.place(request.request, request.caller, request.request.bodyBytes, {
      placed: (decision) => {
        this.decisions += 1;
        live.decision = decision;
        this.#try(live);
      },
      refused: () => {
        this.#forget(live);
        this.#host.refuse(request.id, 'refused');
      },
    });
    // It may be over already: refused at once, or failed at all nodes.
    if (live.isOver) placed.finish();
    else live.placed = placed;
  }

  began(id: number): void {
    const live = this.#live.get(id);
    if (live === undefined) return;
    live.firstByteAt = this.#host.clock.now();
    live.cancelTimeout?.();
  }

  ended(id: number, node: NodeId, attempt: SimAttempt): void {
    const live = this.#live.get(id);
    if (live?.decision === undefined) return;
    live.cancelTimeout?.();
    if (attempt.end === 'served') {
      live.firstByteAt ??= this.#host.clock.now();
      this.#over(live, 'complete', attempt);
    } else if (!attempt.canRetry) this.#over(live, 'truncated', attempt);
    else this.#failed(live, node, attempt.reason ?? 'server_error', attempt.status);
  }

  left(id: number): void {
    const live = this.#live.get(id);
    if (live === undefined) return;
    if (live.decision === undefined) this.#forget(live);
    else this.#over(live, 'client_gone', undefined);
  }

  fleetChanged(): void {
    this.#feed.membersChanged();
  }

  /** Hands the request to the node at its present place in the list; unknown addresses are passed over, as Envoy does. */
  #try(live: Live): void {
    const { decision, request } = live;
    if (decision === undefined) return;
    const node = this.#nodeAt(live);
    if (node === undefined) {
      this.#next(live, undefined);
      return;
    }
    live.cancelTimeout = this.#host.clock.after(decision.perTryTimeoutMs, () => {
      this.#host.withdraw(request.id);
      this.#failed(live, node, 'timeout', 0);
    });
    this.#host.dispatch(request.id, node, decision.edits);
  }

  #failed(live: Live, _node: NodeId, reason: NonNullable<SimAttempt['reason']>, status: number): void {
    const { decision } = live;
    const address = decision?.addresses[live.attempt];
    if (decision === undefined || address === undefined) return;
    this.#control.recorder.attemptFailed({
      decisionId: decision.id,
      address,
      reason,
      status: status === 0 ? undefined : status,
      retryAfterMs: undefined,
    });
    const isRetried =
      status === 0 || RETRIED_STATUS.has(status) || (status === 404 && decision.retryNotFound);
    this.#next(live, isRetried ? undefined : status);
  }

  /** The next node of the list; `status`: what the client is told instead. */
  #next(live: Live, status: number | undefined): void {
    live.attempt += 1;
    if (status === undefined && live.decision?.addresses[live.attempt] !== undefined) {
      this.#try(live);
      return;
    }
    live.attempt -= 1;
    const { id } = live.request;
    this.#over(live, 'failed', undefined);
    this.#host.refuse(id, 'failed');
  }

  #over(live: Live, end: OutcomeEnd, attempt: SimAttempt | undefined): void {
    const outcome = this.#outcome(live, end, attempt);
    this.#forget(live);
    this.#host.clock.after(LOG_DELAY_MS, () => this.#control.recorder.requestEnded(outcome));
  }

  #forget(live: Live): void {
    live.isOver = true;
    live.cancelTimeout?.();
    this.#live.delete(live.request.id);
    live.placed?.finish();
  }

  #nodeAt({ decision, attempt }: Live): NodeId | undefined {
    const address = decision?.addresses[attempt];
    return address === undefined ? undefined : this.#feed.fleet.nodeAt(address);
  }

  #outcome(live: Live, end: OutcomeEnd, attempt: SimAttempt | undefined): Outcome {
    const { request, decision, arrivedAt, firstByteAt } = live;
    const { endpoint, bodyBytes } = request.request;
    return {
      decisionId: decision?.id,
      path: endpoint.path,
      method: 'POST',
      status: end === 'complete' || firstByteAt !== undefined ? 200 : end === 'client_gone' ? 0 : 503,
      details: '',
      flags: end === 'client_gone' ? ['DC'] : [],
      address: decision?.addresses[live.attempt],
      attempts: live.attempt + 1,
      firstByteMs: firstByteAt === undefined ? undefined : firstByteAt - arrivedAt,
      totalMs: this.#host.clock.now() - arrivedAt,
      requestBytes: bodyBytes,
      responseBytes: (attempt?.answerTokens ?? 0) * 4,
      usage: end === 'complete' && attempt !== undefined ? usageOf(request, attempt) : NO_USAGE,
      end,
    };
  }
}

/** Ollama's own API tells all durations, the others tokens alone, embeddings no answer. */
function usageOf({ request }: SimRequest, attempt: SimAttempt): Usage {
  const { family, operation } = request.endpoint;
  const { promptTokens, answerTokens, totalMs, loadMs, promptEvalMs, evalMs } = attempt;
  if (request.isEmpty) return NO_USAGE;
  const isAnswer = operation === 'chat' || operation === 'generate';
  const tokens = { ...NO_USAGE, promptTokens, completionTokens: isAnswer ? answerTokens : undefined };
  if (family !== 'ollama') return tokens;
  if (!isAnswer) return { ...tokens, totalMs, loadMs };
  return { ...tokens, totalMs, loadMs, promptEvalMs, evalMs };
}
