import type { ErrorCode, RouterError } from '../../request/errors.ts';
import type { Ranking } from '../../routing/types.ts';
import { Decision } from '../decision-log.ts';
import type { UnplacedRequest } from '../request-watcher.ts';
import type { RouterDependencies } from './dependencies.ts';
import type { Verdict } from './verdict.ts';

/** A ranking for a refusal is made no more often than this: most of them come in floods, and all for the same reason. */
const EXPLAINED_EVERY_MS = 200;
/** Nodes that are told of. */
const MAX_NODES = 50;
/** Whatever the nodes, these would have been refused. */
const WHATEVER_THE_NODES: ReadonlySet<ErrorCode> = new Set([
  'not_allowed',
  'not_privileged',
  'rate_limited',
  'query_of_death',
  'internal',
]);
const NOTHING: Ranking = { nodes: [], rejected: [] };

type RefusedRequest = Omit<UnplacedRequest, 'why'>;

/** Remembers refusals as it remembers decisions, so that the id in the refusal's header can be asked about. */
export class RefusalsKept {
  readonly #deps: RouterDependencies;
  readonly #verdict: (refused: RefusedRequest, maxRejected: number) => Verdict;
  #explainedAt = Number.NEGATIVE_INFINITY;

  constructor(deps: RouterDependencies, verdict: (refused: RefusedRequest, maxRejected: number) => Verdict) {
    this.#deps = deps;
    this.#verdict = verdict;
  }

  keep(refused: RefusedRequest, error: RouterError): void {
    const { clock, decisions, fleet } = this.#deps;
    const { id, requestId, request, caller, waitedMs } = refused;
    const verdict = this.#isExplained(error.code) ? this.#verdict(refused, MAX_NODES) : undefined;
    decisions.addRefused(
      new Decision({
        id,
        requestId,
        at: clock.date(),
        request: verdict?.request ?? request,
        asked: request.model.key,
        caller,
        waitedMs,
        ranking: verdict?.ranking ?? NOTHING,
        snapshotVersion: fleet.snapshot().version,
        refusal: { code: error.code, message: error.message },
      }),
    );
  }

  #isExplained(code: ErrorCode): boolean {
    if (WHATEVER_THE_NODES.has(code)) return false;
    const now = this.#deps.clock.now();
    if (now - this.#explainedAt < EXPLAINED_EVERY_MS) return false;
    this.#explainedAt = now;
    return true;
  }
}
