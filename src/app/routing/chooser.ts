import { RouterError } from '../../request/errors.ts';
import type { ModelName, RouteRequest } from '../../request/types.ts';
import { rank } from '../../routing/rank.ts';
import { modelNotFound } from '../../routing/refusals.ts';
import type { Inflight, RankedNode, Ranking, Situation } from '../../routing/types.ts';
import type { Random } from '../ports.ts';
import { SituationRecorder, type TapedSituation } from '../situation-tape.ts';
import type { RouterDependencies } from './dependencies.ts';

/** Where a request would go now. */
export interface Choice {
  /** As the node will get it: its model is the target. */
  readonly request: RouteRequest;
  readonly target: ModelName;
  readonly ranking: Ranking;
  readonly best: RankedNode;
  readonly situation: Situation;
  /** Its answers, where decisions are to be made again. */
  readonly taped: TapedSituation | undefined;
}

export interface Wish {
  readonly request: RouteRequest;
  readonly random: Random;
  /** Requests for the model that are due before it. */
  readonly ahead: (model: string) => number;
  /** Time that it may still wait, ms; undefined: it does not wait here. */
  readonly leftMs: number | undefined;
}

const NOBODY_WAITS = { ahead: () => 0 };
export const nobodyAhead = NOBODY_WAITS.ahead;

/** Finds the model and the nodes for a request: the first target that has a usable node and can begin in time. */
export class Chooser {
  readonly #deps: RouterDependencies;
  readonly #inflight: () => Inflight;

  constructor(deps: RouterDependencies, inflight: () => Inflight) {
    this.#deps = deps;
    this.#inflight = inflight;
  }

  /** Throws RouterError where no target has any node left. */
  choose(wish: Wish): Choice {
    const situation = this.situation(wish.random, wish.ahead);
    const { request } = wish;
    const { targets } = this.#deps;
    if (targets === undefined) return this.#choiceOf(request, request.model, situation);
    const models = targets(request, situation.snapshot);
    const [only] = models;
    if (models.length === 1 && only !== undefined) return this.#choiceOf(request, only, situation);
    return this.#firstThatCan(wish, models, situation);
  }

  situation(random: Random, ahead: Wish['ahead']): Situation {
    const { fleet, demand, prompts, params, clock } = this.#deps;
    return {
      snapshot: fleet.snapshot(),
      inflight: this.#inflight(),
      demand,
      prompts,
      waiting: ahead === nobodyAhead ? NOBODY_WAITS : { ahead },
      params: params(),
      random,
      now: clock.now(),
    };
  }

  /** A model that is late is better than one that only nodes of the last resort have, and that is better than none. */
  #firstThatCan(
    { request, leftMs: mayWaitMs }: Wish,
    models: readonly ModelName[],
    situation: Situation,
  ): Choice {
    const tillClosed = this.#deps.closing.refusesAt - situation.now;
    const leftMs = mayWaitMs === undefined ? undefined : Math.min(mayWaitMs, tillClosed);
    let late: Choice | undefined;
    let resort: Choice | undefined;
    let refusal: RouterError | undefined;
    for (const target of models) {
      let choice: Choice;
      try {
        choice = this.#choiceOf(request, target, situation);
      } catch (error) {
        if (!(error instanceof RouterError)) throw error;
        refusal ??= error;
        continue;
      }
      if (choice.best.reason === 'last_resort') resort ??= choice;
      else if (leftMs === undefined || canBegin(choice, leftMs)) return choice;
      else late ??= choice;
    }
    const found = late ?? resort;
    if (found !== undefined) return found;
    throw refusal ?? noNode();
  }

  #choiceOf(asked: RouteRequest, target: ModelName, situation: Situation): Choice {
    const request = target.key === asked.model.key ? asked : { ...asked, model: target };
    const recorder = this.#deps.inputs === undefined ? undefined : new SituationRecorder(situation);
    const ranking = rankFor(asked, request, recorder?.situation ?? situation);
    const best = ranking.nodes[0];
    if (best === undefined) throw noNode();
    return { request, target, ranking, best, situation, taped: recorder?.taped() };
  }
}

/** A client that asked for an alias is told of the alias: of its models it knows nothing. */
function rankFor(asked: RouteRequest, request: RouteRequest, situation: Situation): Ranking {
  try {
    return rank(request, situation);
  } catch (error) {
    const isAlias = request !== asked && error instanceof RouterError && error.code === 'model_not_found';
    throw isAlias ? modelNotFound(asked) : error;
  }
}

function canBegin({ best }: Choice, leftMs: number): boolean {
  return best.startsNow || best.terms.slotWait * 1000 <= leftMs;
}

function noNode(): RouterError {
  return new RouterError('no_node', 'no node can take this request now', { retryAfterSeconds: 2 });
}
