import type { Comparison } from '../../../../src/simulate/report/comparison.ts';
import type { Measures } from '../../../../src/simulate/report/measure.ts';
import { SCENARIOS } from '../../../../src/simulate/scenarios/catalogue.ts';
import type { Scenario, SimOutcome, SimResult } from '../../../../src/simulate/types.ts';
import type { RequestClass } from '../../../../src/waiting/types.ts';

/** Two requests of two clients, of these classes. */
export function smallScenario(classes: readonly RequestClass[] = []): Scenario {
  const draw = SCENARIOS.get('join-leave');
  if (draw === undefined) throw new Error('there is no scenario join-leave');
  const scenario = draw(1, 50);
  const requests = scenario.requests.slice(0, 2).map((request, id) => ({
    ...request,
    id,
    caller: { ...request.caller, id: `client ${id}`, class: classes[id] ?? ('normal' as const) },
  }));
  return { ...scenario, name: 'small', requests };
}

export function outcome(id: number, fields: Partial<SimOutcome>): SimOutcome {
  return {
    id,
    arrivedAt: 0,
    node: 'gpu1',
    startedAt: 0,
    firstTokenAt: 0,
    endedAt: 1_000,
    end: 'served',
    attempts: 1,
    loaded: false,
    ...fields,
  };
}

export function comparedResult(fields: Partial<SimResult>): SimResult {
  return {
    policy: 'warmpath',
    scenario: 'small',
    outcomes: [],
    loads: 0,
    reloads: 0,
    wasteMs: 0,
    decisions: 0,
    ...fields,
  };
}

export function measures(fields: Partial<Measures> = {}): Measures {
  return {
    requests: 1_000,
    ttftP50: 1,
    ttftP95: 2,
    ttftP99: 3,
    completionP95: 10,
    promptShare: 0.9,
    unservedShare: 0,
    loads: 10,
    reloads: 5,
    fairness: 0.9,
    wasteSeconds: 0.1,
    ...fields,
  };
}

/** Scenarios `a` and `b`; of each policy the p95 and the reloads in both. */
export function comparison(
  policies: Readonly<Record<string, { readonly p95: readonly [number, number]; readonly reloads?: number }>>,
): Comparison {
  const of = (index: 0 | 1) =>
    Object.fromEntries(
      Object.entries(policies).map(([name, { p95, reloads = 5 }]) => [
        name,
        measures({ ttftP95: p95[index], reloads }),
      ]),
    );
  return {
    scenarios: ['a', 'b'].map((name) => ({ name, about: `About ${name}.`, requests: 1_000 })),
    policies: Object.keys(policies),
    seeds: [1, 2],
    measures: { a: of(0), b: of(1) },
  };
}
