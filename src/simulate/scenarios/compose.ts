import { seededRandom } from '../engine/seeded-random.ts';
import type { Scenario, SimEvent, SimModelSpec, SimNodeSpec, SimRequest } from '../types.ts';
import type { Draft, Stream } from './stream.ts';

/** A scenario before it is drawn. */
export interface Plan {
  readonly name: string;
  readonly about: string;
  /** Requests, about, where nobody asks for another number. */
  readonly requests: number;
  readonly nodes: readonly SimNodeSpec[];
  readonly models: readonly SimModelSpec[];
  readonly streams: readonly Stream[];
  readonly events?: (durationMs: number) => readonly SimEvent[];
}

/** Draws the plan's workload: as long as its streams need for `requests`. The same seed gives the same requests. */
export function compose(plan: Plan, seed: number, requests: number = plan.requests): Scenario {
  const perSecond = plan.streams.reduce((sum, stream) => sum + stream.perSecond, 0);
  const durationMs = (requests / perSecond) * 1_000;
  const drafts = plan.streams.flatMap((stream, i) => {
    const name = `${plan.name} ${i}`;
    return stream.generate(durationMs, name, seededRandom(seed, name));
  });
  return {
    name: plan.name,
    about: plan.about,
    nodes: plan.nodes,
    models: plan.models,
    requests: numbered(drafts),
    events: plan.events?.(durationMs) ?? [],
  };
}

/** In order of arrival; what follows another comes after it. */
function numbered(drafts: readonly Draft[]): SimRequest[] {
  const sorted = [...drafts].sort((a, b) => a.arrivesAt - b.arrivesAt);
  const ids = new Map(sorted.map((draft, id) => [draft, id]));
  return sorted.map(({ after, ...draft }, id) => ({
    ...draft,
    id,
    follows: after === undefined ? undefined : { id: ids.get(after.draft) ?? 0, thinkMs: after.thinkMs },
  }));
}
