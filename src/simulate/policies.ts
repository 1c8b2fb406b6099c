import { createRival } from '../routing/rivals/create.ts';
import { RIVAL_POLICIES } from '../routing/rivals/names.ts';
import type { WarmpathSettings } from './control-plane.ts';
import { ClairvoyantDriver, type Foresight } from './drivers/clairvoyant/clairvoyant.ts';
import { RivalDriver } from './drivers/rival.ts';
import { WarmpathDriver } from './drivers/warmpath.ts';
import { Simulation } from './engine/engine.ts';
import { measure } from './report/measure.ts';
import type { Scenario, SimDriver, SimHost, SimResult } from './types.ts';

/** Everything that can be simulated. */
export const SIM_POLICIES = ['warmpath', ...RIVAL_POLICIES, 'clairvoyant'] as const;
export type SimPolicy = (typeof SIM_POLICIES)[number];

const FORESIGHTS: readonly Foresight[] = [
  { answerShare: 0.1, evictionWeight: 1, sharesContext: true, order: 'arrival' },
  { answerShare: 0, evictionWeight: 0.3, sharesContext: true, order: 'arrival' },
  { answerShare: 0.3, evictionWeight: 2, sharesContext: false, order: 'arrival' },
  { answerShare: 0.1, evictionWeight: 1, sharesContext: true, order: 'shortest' },
];

export interface SimSettings {
  readonly seed: number;
  /** Of Warmpath; the defaults otherwise. */
  readonly warmpath?: WarmpathSettings | undefined;
}

/** One policy over one scenario. The same seed gives the same result. */
export function simulate(scenario: Scenario, policy: SimPolicy, { seed, warmpath }: SimSettings): SimResult {
  if (policy === 'clairvoyant') return clairvoyant(scenario, seed);
  const driver = (host: SimHost): SimDriver =>
    policy === 'warmpath' ? new WarmpathDriver(host, warmpath) : new RivalDriver(host, createRival(policy));
  return new Simulation({ scenario, seed, driver }).run();
}

/** The best of several kinds of foresight, by the time to the first token that 95 % of the requests stay within. */
function clairvoyant(scenario: Scenario, seed: number): SimResult {
  const runs = FORESIGHTS.map((foresight) =>
    new Simulation({ scenario, seed, driver: (host) => new ClairvoyantDriver(host, foresight) }).run(),
  );
  const [first, ...others] = runs as [SimResult, ...SimResult[]]; // sound: there is a kind of foresight
  const p95 = (result: SimResult): number => measure(result, scenario).ttftP95;
  return others.reduce((best, run) => (p95(run) < p95(best) ? run : best), first);
}
