import { randomBytes } from 'node:crypto';
import { DecisionInputs } from '../app/decision-inputs.ts';
import { guardWatcher } from '../app/guard-watcher.ts';
import type { Log } from '../app/log.ts';
import { metricsWatcher } from '../app/metrics-watcher.ts';
import type { Clock, Random } from '../app/ports.ts';
import { QueryGuard } from '../app/query-guard.ts';
import type { RequestWatcher } from '../app/request-watcher.ts';
import { Shadow } from '../app/shadow.ts';
import type { DecisionTelemetry } from '../app/telemetry-port.ts';
import type { Config } from '../config/config.ts';
import type { NodeId, Observation } from '../fleet/types.ts';
import { createRival } from '../routing/rivals/create.ts';
import { Recording } from './recording.ts';

/** Decisions whose whole input is remembered. */
const INPUTS_KEPT = 100;

export interface InsightDependencies {
  /** The configuration that holds now. */
  readonly current: () => Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly telemetry: DecisionTelemetry;
}

export type Insight = ReturnType<typeof createInsight>;

/** What follows requests: the guard against those that kill nodes, the recording, the shadow policy, what explains decisions. */
export function createInsight({ current, clock, random, log, telemetry }: InsightDependencies) {
  const guard = new QueryGuard();
  const inputs = new DecisionInputs(INPUTS_KEPT);
  const settings = () => current().decisions;
  const recording = new Recording({ settings, clock, log, salt: randomBytes(32) });

  let shadow: Shadow | undefined;
  let shadowName: Config['routing']['shadow'];
  const shadowNow = (): Shadow | undefined => {
    const name = current().routing.shadow;
    if (name !== shadowName) {
      shadowName = name;
      shadow =
        name === undefined
          ? undefined
          : new Shadow({ policy: createRival(name), telemetry, clock, random, log });
    }
    return shadow;
  };

  const watchers: RequestWatcher[] = [
    guardWatcher(guard, clock),
    metricsWatcher(telemetry),
    {
      chosen: (chosen) => shadowNow()?.chosen(chosen),
      ended: (decision, node, outcome) => shadowNow()?.ended(decision, node, outcome),
    },
    recording.watcher,
  ];

  return {
    guard,
    inputs,
    watchers,
    /** What another control plane has seen of a node. */
    heard: (node: NodeId, observation: Observation): void => {
      if (observation.kind === 'attempt_failed')
        guard.failed(observation.fingerprint ?? '', node, observation.reason, clock.now());
    },
    guardReport: () => ({ refusals: guard.refusals, refusedBodies: guard.refusedBodies(clock.now()) }),
    shadowReport: () => shadowNow()?.report(),
    recording: () => recording.report(),
    /** Writes what waits to be recorded. */
    close: () => recording.close(),
  };
}
