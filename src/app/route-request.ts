import type { LeaseLedger } from '../fleet/ledger.ts';
import { type ErrorCode, RouterError } from '../request/errors.ts';
import type { RouteRequest } from '../request/types.ts';
import type { RoutingParams } from '../routing/params.ts';
import { perTryTimeoutMs } from '../routing/per-try.ts';
import { rank } from '../routing/rank.ts';
import { rejections } from '../routing/rejections.ts';
import type { Demand, PromptMemory, Ranking, Situation } from '../routing/types.ts';
import type { Caller } from '../waiting/types.ts';
import { Decision, type DecisionLog } from './decision-log.ts';
import type { Fleet } from './fleet.ts';
import type { Log } from './log.ts';
import type { Clock, Random } from './ports.ts';
import type { Telemetry } from './telemetry-port.ts';
import type { PlacedRequest, Placing, RequestRouter, RouteDecision } from './types.ts';

const NOBODY_WAITS = { ahead: () => 0 };
/** More than a person reads. */
const MAX_EXPLAINED = 1_000;

export interface RouterDependencies {
  readonly fleet: Fleet;
  readonly ledger: LeaseLedger;
  readonly decisions: DecisionLog;
  readonly demand: Demand;
  readonly prompts: PromptMemory;
  readonly telemetry: Telemetry;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  /** Read at every request: a reload may change them. */
  readonly params: () => RoutingParams;
  /** Names this process in decision ids, so that they are unique over replicas and restarts. */
  readonly replica: string;
}

/** Ranks, takes the lease, remembers why. No I/O: where others must hear of the lease, the ledger's listener tells them later. */
export class Router implements RequestRouter {
  readonly #deps: RouterDependencies;
  #sequence = 0;

  constructor(dependencies: RouterDependencies) {
    this.#deps = dependencies;
  }

  place(request: RouteRequest, _caller: Caller, _heldBytes: number, placing: Placing): PlacedRequest {
    let decision: RouteDecision;
    try {
      decision = this.#route(request);
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      placing.refused(error);
      return { isWaiting: false, finish: () => {} };
    }
    placing.placed(decision);
    return { isWaiting: false, finish: () => this.#finish(decision.id) };
  }

  #route(request: RouteRequest): RouteDecision {
    const { ledger, telemetry, clock } = this.#deps;
    const situation = this.#situation();
    const { params, snapshot, now } = situation;
    const ranking = rank(request, situation);
    const first = ranking.nodes[0];
    if (first === undefined)
      throw new RouterError('no_node', 'no node can take this request now', { retryAfterSeconds: 2 });

    // Reading a description occupies no model: counted under its key, the node would look as if it were loading it.
    const model = request.endpoint.operation === 'show' ? '' : request.model.key;
    this.#sequence += 1;
    const id = `${this.#deps.replica}-${this.#sequence.toString(36)}`;
    ledger.take(id, first.id, model, now, now + (first.terms.slotWait + first.heldSeconds) * 1000);
    const decision = new Decision({
      id,
      at: clock.date(),
      request,
      ranking,
      snapshotVersion: snapshot.version,
      concurrency: ledger.onModel(first.id, model),
    });
    this.#deps.decisions.add(decision);
    telemetry.decided(first.reason);
    this.#logDecision(decision);
    return {
      id,
      addresses: ranking.nodes.map((node) => node.address),
      perTryTimeoutMs: perTryTimeoutMs(request, ranking, params),
      retryNotFound: ranking.nodes.length > 1,
      edits: [],
    };
  }

  #finish(decisionId: string): void {
    const { ledger, decisions, clock } = this.#deps;
    ledger.release(decisionId);
    const decision = decisions.find(decisionId);
    if (decision !== undefined) decision.finishedAt ??= clock.now();
  }

  refused(code: ErrorCode): void {
    this.#deps.telemetry.refused(code);
  }

  /** What would be chosen now and why no other node, without a lease and without a trace. */
  preview(request: RouteRequest): Ranking {
    const situation = this.#situation();
    const { snapshot, inflight, now } = situation;
    const ranking = rank(request, situation);
    return { ...ranking, rejected: rejections(request, snapshot, inflight, ranking, MAX_EXPLAINED, now) };
  }

  #situation(): Situation {
    const { fleet, ledger, demand, prompts, params, random, clock } = this.#deps;
    return {
      snapshot: fleet.snapshot(),
      inflight: ledger,
      demand,
      prompts,
      waiting: NOBODY_WAITS,
      params: params(),
      random,
      now: clock.now(),
    };
  }

  #logDecision(decision: Decision): void {
    const { log } = this.#deps;
    if (!log.isLevelEnabled('debug')) return;
    const [first] = decision.ranking.nodes;
    log.debug(
      {
        decision: decision.id,
        model: decision.request.model.key,
        path: decision.request.endpoint.path,
        node: first?.id,
        reason: first?.reason,
        seconds: first?.seconds,
        terms: first?.terms,
        fallbacks: decision.ranking.nodes.slice(1).map((node) => node.id),
      },
      'routed',
    );
  }
}
