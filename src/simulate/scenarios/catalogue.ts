import type { Scenario } from '../types.ts';
import { batchBesideInteractive } from './batch-beside-interactive.ts';
import { chatSessions } from './chat-sessions.ts';
import { coldBurst } from './cold-burst.ts';
import { compose, type Plan } from './compose.ts';
import { contextThrash } from './context-thrash.ts';
import { eightOnTwo } from './eight-on-two.ts';
import { failingNode } from './failing-node.ts';
import { fleetOfFifty } from './fleet-of-fifty.ts';
import { homelab } from './homelab.ts';
import { hourlyCron } from './hourly-cron.ts';
import { joinLeave } from './join-leave.ts';
import { oneGiant } from './one-giant.ts';

/** Draws a scenario: the same seed and number of requests give the same one. */
export type DrawScenario = (seed: number, requests?: number) => Scenario;

const PLANS: readonly Plan[] = [
  homelab,
  eightOnTwo,
  contextThrash,
  chatSessions,
  coldBurst,
  batchBesideInteractive,
  failingNode,
  fleetOfFifty,
  joinLeave,
  hourlyCron,
  oneGiant,
];

/** The scenarios that policies are compared in, by name, in the order of the report. */
export const SCENARIOS: ReadonlyMap<string, DrawScenario> = new Map(
  PLANS.map((plan) => [plan.name, (seed: number, requests?: number) => compose(plan, seed, requests)]),
);
