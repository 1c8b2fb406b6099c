import type { FleetSnapshot, NodeId } from '../fleet/types.ts';
import type { RoutingParams } from '../routing/params.ts';
import type { Demand, Inflight, PromptMemory, Situation, Waiting } from '../routing/types.ts';

/** One answer that a decision was given. */
export type TapeEntry = number | readonly number[] | readonly NodeId[];

/**
 * A situation as one decision saw it. The snapshot and the parameters never change and are kept as they are; what does
 * change is kept as the answers that were given, in the order of the questions: routing asks the same again.
 */
export interface TapedSituation {
  readonly snapshot: FleetSnapshot;
  readonly params: RoutingParams;
  /** Monotonic ms. */
  readonly now: number;
  readonly tape: readonly TapeEntry[];
}

/** Hands a situation on and notes every answer that it gives. For one decision. */
export class SituationRecorder implements Inflight, Demand, PromptMemory, Waiting {
  readonly situation: Situation;
  readonly #of: Situation;
  readonly #tape: TapeEntry[] = [];

  constructor(of: Situation) {
    this.#of = of;
    this.situation = {
      snapshot: of.snapshot,
      params: of.params,
      now: of.now,
      inflight: this,
      demand: this,
      prompts: this,
      waiting: this,
      random: () => this.#note(of.random()),
    };
  }

  /** All that was asked so far. */
  taped(): TapedSituation {
    const { snapshot, params, now } = this.#of;
    return { snapshot, params, now, tape: this.#tape };
  }

  onNode(node: NodeId): number {
    return this.#note(this.#of.inflight.onNode(node));
  }

  onModel(node: NodeId, model: string): number {
    return this.#note(this.#of.inflight.onModel(node, model));
  }

  /** As far as it is read. */
  *nodesRunning(model: string): Iterable<NodeId> {
    const read: NodeId[] = [];
    this.#tape.push(read);
    for (const node of this.#of.inflight.nodesRunning(model)) {
      read.push(node);
      yield node;
    }
  }

  expectedEnds(node: NodeId, model: string): readonly number[] {
    return this.#note(this.#of.inflight.expectedEnds(node, model));
  }

  perSecond(model: string, now: number): number {
    return this.#note(this.#of.demand.perSecond(model, now));
  }

  cachedBytes(...asked: Parameters<PromptMemory['cachedBytes']>): number {
    return this.#note(this.#of.prompts.cachedBytes(...asked));
  }

  ahead(model: string): number {
    return this.#note(this.#of.waiting.ahead(model));
  }

  #note<Answer extends number | readonly number[]>(answer: Answer): Answer {
    this.#tape.push(answer);
    return answer;
  }
}

/** The situation again: every question gets the answer that it got then. Throws where others are asked. */
export function playBack({ snapshot, params, now, tape }: TapedSituation): Situation {
  let at = 0;
  const next = (): TapeEntry => {
    const entry = tape[at];
    if (entry === undefined) throw new Error('this decision was recorded by another version of Warmpath');
    at += 1;
    return entry;
  };
  const figure = (): number => {
    const entry = next();
    return typeof entry === 'number' ? entry : Number.NaN;
  };
  return {
    snapshot,
    params,
    now,
    inflight: {
      onNode: figure,
      onModel: figure,
      *nodesRunning() {
        const entry = next();
        if (typeof entry !== 'number') for (const id of entry) yield String(id);
      },
      expectedEnds: () => {
        const entry = next();
        return typeof entry === 'number' ? [] : entry.map(Number);
      },
    },
    demand: { perSecond: figure },
    prompts: { cachedBytes: figure },
    waiting: { ahead: figure },
    random: figure,
  };
}
