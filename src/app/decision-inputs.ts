import { isDeepStrictEqual } from 'node:util';
import type { RouteRequest } from '../request/types.ts';
import { rank } from '../routing/rank.ts';
import type { Ranking } from '../routing/types.ts';
import { playBack, type TapedSituation } from './situation-tape.ts';

/** Snapshots of large fleets are large: together they hold no more nodes than that. */
const MAX_NODES = 500_000;

/** All that a ranking followed from. */
export interface DecisionInput {
  readonly request: RouteRequest;
  readonly situation: TapedSituation;
}

/** The ranking once more, from nothing but its input: the same, term by term. */
export function replayDecision({ request, situation }: DecisionInput): Ranking {
  return rank(request, playBack(situation));
}

/** Whether the decision comes out the same again. The list that was tried may have been shorter than the ranking. */
export function isReproducible(input: DecisionInput, ranking: Ranking): boolean {
  const again = replayDecision(input);
  const nodes = again.nodes.slice(0, ranking.nodes.length);
  return isDeepStrictEqual({ ...again, nodes }, ranking);
}

/** The inputs of the last `capacity` decisions. */
export class DecisionInputs {
  readonly #kept = new Map<string, DecisionInput>();
  readonly #capacity: number;
  #nodes = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  keep(id: string, input: DecisionInput): void {
    this.#forget(id);
    this.#kept.set(id, input);
    this.#nodes += input.situation.snapshot.nodes.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= this.#capacity && (this.#nodes <= MAX_NODES || this.#kept.size === 1)) break;
      this.#forget(oldest);
    }
  }

  /** Undefined where it is too long ago. */
  find(id: string): DecisionInput | undefined {
    return this.#kept.get(id);
  }

  #forget(id: string): void {
    const input = this.#kept.get(id);
    if (input === undefined) return;
    this.#kept.delete(id);
    this.#nodes -= input.situation.snapshot.nodes.length;
  }
}
