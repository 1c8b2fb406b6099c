import type { RoutingParams } from '../routing/params.ts';
import { createRival } from '../routing/rivals/create.ts';
import { RIVAL_POLICIES } from '../routing/rivals/names.ts';
import { RivalDriver } from './drivers/rival.ts';
import { WarmpathDriver } from './drivers/warmpath.ts';
import { Simulation } from './engine/engine.ts';
import type { Scenario, SimDriver, SimHost, SimResult } from './types.ts';

/** Everything that can be simulated. */
export const SIM_POLICIES = ['warmpath', ...RIVAL_POLICIES] as const;
export type SimPolicy = (typeof SIM_POLICIES)[number];

export interface SimSettings {
  readonly seed: number;
  /** Of Warmpath; the defaults otherwise. */
  readonly routing?: RoutingParams;
}

/** One policy over one scenario. The same seed gives the same result. */
export function simulate(scenario: Scenario, policy: SimPolicy, { seed, routing }: SimSettings): SimResult {
  return new Simulation({ scenario, seed, driver: (host) => createDriver(host, policy, routing) }).run();
}

function createDriver(host: SimHost, policy: SimPolicy, routing: RoutingParams | undefined): SimDriver {
  if (policy === 'warmpath') return new WarmpathDriver(host, routing);
  return new RivalDriver(host, createRival(policy));
}
