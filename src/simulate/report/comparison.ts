import type { Scenario, SimResult } from '../types.ts';
import { type Measures, mean, measure } from './measure.ts';

/** How each policy did in each scenario: the mean over the seeds. */
export interface Comparison {
  readonly scenarios: readonly { readonly name: string; readonly about: string; readonly requests: number }[];
  /** In the order of the tables. */
  readonly policies: readonly string[];
  readonly seeds: readonly number[];
  /** `measures[scenario][policy]`, by name. */
  readonly measures: Readonly<Record<string, Readonly<Record<string, Measures>>>>;
}

export interface CompareOptions {
  readonly scenarios: ReadonlyMap<string, (seed: number, requests?: number) => Scenario>;
  readonly policies: readonly string[];
  readonly seeds: readonly number[];
  /** Of each scenario; undefined: as many as it likes. */
  readonly requests?: number | undefined;
  readonly simulate: (scenario: Scenario, policy: string, seed: number) => SimResult;
  readonly onRun?: (scenario: string, policy: string, measures: Measures) => void;
}

/** Runs every policy over every scenario and seed: the same requests for all of them. */
export function compare(options: CompareOptions): Comparison {
  const { scenarios, policies, seeds, requests, simulate, onRun } = options;
  const facts: Comparison['scenarios'][number][] = [];
  const measures: Record<string, Record<string, Measures>> = {};
  for (const [name, draw] of scenarios) {
    const drawn = seeds.map((seed) => ({ seed, scenario: draw(seed, requests) }));
    const first = drawn[0]?.scenario;
    if (first === undefined) throw new RangeError('a comparison needs a seed at least');
    facts.push({ name, about: first.about, requests: first.requests.length });
    const ofScenario: Record<string, Measures> = {};
    for (const policy of policies) {
      const runs = drawn.map(({ seed, scenario }) => measure(simulate(scenario, policy, seed), scenario));
      ofScenario[policy] = meanMeasures(runs);
      onRun?.(name, policy, ofScenario[policy]);
    }
    measures[name] = ofScenario;
  }
  return { scenarios: facts, policies, seeds, measures };
}

/** What a comparison says of one policy in one scenario. */
export function measuresOf(comparison: Comparison, scenario: string, policy: string): Measures {
  const found = comparison.measures[scenario]?.[policy];
  if (found === undefined) throw new RangeError(`${policy} was not run in ${scenario}`);
  return found;
}

function meanMeasures(runs: readonly Measures[]): Measures {
  const of = (key: keyof Measures): number => mean(runs.map((run) => run[key]));
  return {
    requests: of('requests'),
    ttftP50: of('ttftP50'),
    ttftP95: of('ttftP95'),
    ttftP99: of('ttftP99'),
    completionP95: of('completionP95'),
    promptShare: of('promptShare'),
    unservedShare: of('unservedShare'),
    loads: of('loads'),
    reloads: of('reloads'),
    fairness: of('fairness'),
    wasteSeconds: of('wasteSeconds'),
  };
}
