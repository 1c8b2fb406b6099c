import { createRival } from '../routing/rivals/create.ts';
import { RIVAL_POLICIES } from '../routing/rivals/names.ts';
import type { WarmpathSettings } from './control-plane.ts';
import { ClairvoyantDriver, type Foresight } from './drivers/clairvoyant/clairvoyant.ts';
import { RivalDriver } from './drivers/rival.ts';
import { WarmpathDriver } from './drivers/warmpath.ts';
import { Simulation } from './engine/engine.ts';
import { measure } from './report/measure.ts';
import type { Scenario, SimDriver, SimHost, SimResult } from './types.ts';

/** What is compared unless somebody asks for less. */
export const SIM_POLICIES = ['warmpath', ...RIVAL_POLICIES, 'clairvoyant'] as const;
/** Everything that can be simulated. */
export const ALL_POLICIES = [...SIM_POLICIES, 'prophet'] as const;
export type SimPolicy = (typeof ALL_POLICIES)[number];

/** Knows all nodes, and how long every request takes. */
const CLAIRVOYANT: readonly Foresight[] = [
  { answerShare: 0.1, evictionWeight: 1, sharesContext: true, order: 'arrival', prefetches: false },
  { answerShare: 0, evictionWeight: 0.3, sharesContext: true, order: 'arrival', prefetches: false },
  { answerShare: 0.3, evictionWeight: 2, sharesContext: false, order: 'arrival', prefetches: false },
  { answerShare: 0.1, evictionWeight: 1, sharesContext: true, order: 'shortest', prefetches: false },
];
/** Knows besides what will be asked for when, and has it loaded by then. */
const PROPHET: readonly Foresight[] = [
  ...CLAIRVOYANT,
  { answerShare: 0.1, evictionWeight: 1, sharesContext: true, order: 'arrival', prefetches: true },
  { answerShare: 0.1, evictionWeight: 1, sharesContext: true, order: 'shortest', prefetches: true },
];

export interface SimSettings {
  readonly seed: number;
  /** Of Warmpath; the defaults otherwise. */
  readonly warmpath?: WarmpathSettings | undefined;
}

/** One policy over one scenario. The same seed gives the same result. */
export function simulate(scenario: Scenario, policy: SimPolicy, { seed, warmpath }: SimSettings): SimResult {
  if (policy === 'clairvoyant' || policy === 'prophet') return foreseeing(scenario, policy, seed);
  const driver = (host: SimHost): SimDriver =>
    policy === 'warmpath' ? new WarmpathDriver(host, warmpath) : new RivalDriver(host, createRival(policy));
  return new Simulation({ scenario, seed, driver }).run();
}

/** The best of several kinds of foresight, by the time to the first token that 95 % of the requests stay within. */
function foreseeing(scenario: Scenario, name: 'clairvoyant' | 'prophet', seed: number): SimResult {
  const runs = (name === 'prophet' ? PROPHET : CLAIRVOYANT).map((foresight) =>
    new Simulation({ scenario, seed, driver: (host) => new ClairvoyantDriver(host, name, foresight) }).run(),
  );
  const [first, ...others] = runs as [SimResult, ...SimResult[]]; // sound: there is a kind of foresight
  const p95 = (result: SimResult): number => measure(result, scenario).ttftP95;
  return others.reduce((best, run) => (p95(run) < p95(best) ? run : best), first);
}
