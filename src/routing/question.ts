import type { ModelKey } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import { allowedPlaces } from './allowed.ts';
import type { Situation } from './types.ts';

/** One decision's input, and what of it is the same for all nodes: looked up once. */
export interface Question extends Situation {
  readonly request: RouteRequest;
  /** Requests in the line that are due before this one, for each node that has the model in memory. */
  readonly aheadEach: number;
  /** Nodes that load the model at present. */
  readonly loads: number;
  /** How badly other models are wanted, by model. */
  readonly wanted: Map<ModelKey, Wanted>;
}

/** How badly a model is wanted in memory. */
export interface Wanted {
  readonly perSecond: number;
  readonly isWaitedFor: boolean;
}

export function questionOf(request: RouteRequest, situation: Situation, loads: number): Question {
  const { snapshot, waiting } = situation;
  const { model, among } = request;
  const ahead = waiting.ahead(model.key);
  const candidates = ahead > 0 ? snapshot.byModel.candidates(model.key) : undefined;
  const warm = candidates === undefined ? 0 : allowedPlaces(candidates.nodes, candidates.warm, among).length;
  const serving = warm + loads;
  return {
    ...situation,
    request,
    aheadEach: ahead > 0 ? ahead / Math.max(1, serving) : 0,
    loads,
    wanted: new Map(),
  };
}

export function wantedOf(question: Question, key: ModelKey): Wanted {
  let wanted = question.wanted.get(key);
  if (wanted === undefined) {
    const { demand, waiting, now } = question;
    wanted = { perSecond: sane(demand.perSecond(key, now)), isWaitedFor: waiting.ahead(key) > 0 };
    question.wanted.set(key, wanted);
  }
  return wanted;
}

/** No model is asked for more often. */
const MOST_PER_SECOND = 1e6;

function sane(perSecond: number): number {
  return perSecond > 0 ? Math.min(perSecond, MOST_PER_SECOND) : 0;
}
