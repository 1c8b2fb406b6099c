import type { Config } from '../config/config.ts';
import { DEFAULT_HEALTH, type FleetParams } from '../fleet/params.ts';
import { DEFAULT_ROUTING, type RoutingParams } from '../routing/params.ts';

/** What an operator set, over the priors that nobody sets. */
export function routingParams({ routing }: Config): RoutingParams {
  return {
    ...DEFAULT_ROUTING,
    maxAttempts: routing.maxAttempts,
    firstByteTimeoutMs: routing.firstByteTimeout,
    loadTimeoutMs: routing.loadTimeout,
    answerTimeoutMs: routing.answerTimeout,
    defaultLoadBytesPerSecond: routing.defaultLoadRate,
  };
}

export function fleetParams({ health }: Config): FleetParams {
  return {
    ...DEFAULT_HEALTH,
    downAfter: health.downAfter,
    readmitAfterMs: health.readmitAfter,
    readmitMaxMs: health.readmitMax,
    slowStartMs: health.slowStart,
  };
}
