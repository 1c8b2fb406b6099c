import type { LeaseLedger } from '../fleet/ledger.ts';
import { type ErrorCode, RouterError } from '../request/errors.ts';
import type { RouteRequest } from '../request/types.ts';
import type { RoutingParams } from '../routing/params.ts';
import { perTryTimeoutMs } from '../routing/per-try.ts';
import { rank } from '../routing/rank.ts';
import { rejections } from '../routing/rejections.ts';
import type { Ranking } from '../routing/types.ts';
import { Decision, type DecisionLog } from './decision-log.ts';
import type { Fleet } from './fleet.ts';
import type { Log } from './log.ts';
import type { Clock, Random } from './ports.ts';
import type { Telemetry } from './telemetry-port.ts';
import type { RequestRouter, RouteDecision } from './types.ts';

/** More than a person reads. */
const MAX_EXPLAINED = 1_000;

export interface RouterDependencies {
  readonly fleet: Fleet;
  readonly ledger: LeaseLedger;
  readonly decisions: DecisionLog;
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

  route(request: RouteRequest): RouteDecision {
    const { fleet, ledger, telemetry, clock, random } = this.#deps;
    const params = this.#deps.params();
    const snapshot = fleet.snapshot();
    const now = clock.now();
    const ranking = rank(request, snapshot, ledger, params, random, now);
    const first = ranking.nodes[0];
    if (first === undefined)
      throw new RouterError('no_node', 'no node can take this request now', { retryAfterSeconds: 2 });

    // Reading a description occupies no model: counted under its key, the node would look as if it were loading it.
    const model = request.endpoint.operation === 'show' ? '' : request.model.key;
    this.#sequence += 1;
    const id = `${this.#deps.replica}-${this.#sequence.toString(36)}`;
    ledger.take(id, first.id, model, now);
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
    };
  }

  finish(decisionId: string): void {
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
    const { fleet, ledger, random, clock } = this.#deps;
    const snapshot = fleet.snapshot();
    const now = clock.now();
    const ranking = rank(request, snapshot, ledger, this.#deps.params(), random, now);
    return { ...ranking, rejected: rejections(request, snapshot, ledger, ranking, MAX_EXPLAINED, now) };
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
