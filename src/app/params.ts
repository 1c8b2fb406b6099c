import type { Config } from '../config/config.ts';
import { DEFAULT_HEALTH, type FleetParams } from '../fleet/params.ts';
import { DEFAULT_ROUTING, type RoutingParams } from '../routing/params.ts';

/** A poll that is late by this many intervals makes a view stale. */
const FRESH_INTERVALS = 3;

/** What an operator set, over the priors that nobody sets. */
export function routingParams({ routing, poll }: Config): RoutingParams {
  return {
    ...DEFAULT_ROUTING,
    // Large fleets are polled less often: each node would count as stale most of the time.
    freshMs: Math.max(DEFAULT_ROUTING.freshMs, FRESH_INTERVALS * poll.interval),
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
