import { withSentContext } from '../../fleet/sent-contexts.ts';
import type { BodyEdit, RouteRequest } from '../../request/types.ts';
import { perTryTimeoutMs } from '../../routing/per-try.ts';
import type { Ranking } from '../../routing/types.ts';
import type { Caller, WaitReason } from '../../waiting/types.ts';
import { companyOf } from '../company.ts';
import { Decision } from '../decision-log.ts';
import { sentContext } from '../sent-context.ts';
import type { RouteDecision } from '../types.ts';
import type { Choice } from './chooser.ts';
import type { RouterDependencies } from './dependencies.ts';

/** A request whose turn it is. */
export interface Dispatch {
  readonly id: string;
  readonly requestId: string | undefined;
  /** As the client sent it. */
  readonly asked: RouteRequest;
  readonly caller: Caller;
  readonly choice: Choice;
  readonly waitedMs: number;
  readonly waitedFor: WaitReason | undefined;
  /** What its caller is charged with. */
  readonly tokens: number;
}

const NO_EDITS: readonly BodyEdit[] = [];

/** Takes the lease, works out what must be changed in the body, remembers why. */
export class Dispatcher {
  readonly #deps: RouterDependencies;

  constructor(deps: RouterDependencies) {
    this.#deps = deps;
  }

  dispatch({ id, requestId, asked, caller, choice, waitedMs, waitedFor }: Dispatch): RouteDecision {
    const { ledger, telemetry, clock, guard, decisions } = this.#deps;
    const { request, best, situation } = choice;
    const { snapshot, params, now } = situation;
    const model = leasedModel(request);
    const edits = this.#edits(asked, choice, caller);
    this.#noteContext(choice, edits);
    const attempts = guard?.attemptsLeft(asked.fingerprint, now) ?? Number.POSITIVE_INFINITY;
    const ranking = shortened(choice.ranking, attempts);
    for (const watcher of this.#deps.watchers ?? [])
      watcher.chosen?.({ id, request, ranking: choice.ranking, situation });
    const company = companyOf(ledger, best.id, model, now);
    ledger.take(id, best.id, model, now, now + (best.terms.slotWait + best.heldSeconds) * 1000);
    const decision = new Decision({
      id,
      requestId,
      at: clock.date(),
      request,
      ranking,
      snapshotVersion: snapshot.version,
      asked: asked.model.key,
      caller,
      waitedMs,
      waitedFor,
      edits,
      company,
    });
    decisions.add(decision);
    if (choice.taped !== undefined) this.#deps.inputs?.keep(id, { request, situation: choice.taped });
    for (const watcher of this.#deps.watchers ?? []) watcher.placed?.(decision);
    telemetry.decided(best.reason);
    this.#log(decision);
    return {
      id,
      addresses: ranking.nodes.map((node) => node.address),
      perTryTimeoutMs: perTryTimeoutMs(request, ranking, params),
      retryNotFound: ranking.nodes.length > 1,
      edits,
    };
  }

  #edits(asked: RouteRequest, { target, best, situation }: Choice, caller: Caller): readonly BodyEdit[] {
    const { rewriting } = this.#deps;
    const node = situation.snapshot.byId.get(best.id);
    if (rewriting === undefined || node === undefined)
      return target.key === asked.model.key ? NO_EDITS : [{ field: 'model', to: target.raw }];
    return rewriting.edits(asked, target, node, caller);
  }

  /** The next request for the model should be sent with the context that this one brings about. */
  #noteContext({ request, best, situation }: Choice, edits: readonly BodyEdit[]): void {
    const { endpoint, model, numCtx } = request;
    if (endpoint.family !== 'ollama' || endpoint.operation === 'show') return;
    const sent = sentContext(numCtx, edits);
    if (sent === undefined) return;
    this.#deps.fleet.restore(best.id, (node) => withSentContext(node, model.key, sent, situation.now));
  }

  #log(decision: Decision): void {
    const { log } = this.#deps;
    if (!log.isLevelEnabled('debug')) return;
    const { request, ranking } = decision;
    log.debug(
      {
        decision: decision.id,
        requestId: decision.requestId,
        model: request.model.key,
        path: request.endpoint.path,
        waitedMs: decision.waitedMs,
        nodes: ranking.nodes.map(({ id, reason, seconds, terms }) => ({ node: id, reason, seconds, terms })),
      },
      'routed',
    );
  }
}

/** Reading a description occupies no model: counted under its key, the node would look as if it were loading it. */
export function leasedModel(request: RouteRequest): string {
  return request.endpoint.operation === 'show' ? '' : request.model.key;
}

function shortened(ranking: Ranking, most: number): Ranking {
  if (ranking.nodes.length <= most) return ranking;
  return { ...ranking, nodes: ranking.nodes.slice(0, Math.max(1, most)) };
}
