import type { Config } from '../config/config.ts';
import { DEFAULT_HEALTH, type FleetParams } from '../fleet/params.ts';
import { aliasesFrom } from '../routing/aliases.ts';
import { DEFAULT_ROUTING, type RoutingParams } from '../routing/params.ts';
import type { ModelAliases, RewritePolicy } from '../routing/rewrite-policy.ts';
import type { LinePolicy } from '../waiting/policy.ts';

/** A poll that is late by this many intervals makes a view stale. */
const FRESH_INTERVALS = 3;

/** What an operator set, over the priors that nobody sets. */
export function routingParams(config: Config): RoutingParams {
  const { routing, poll, extProc } = config;
  const { profile, minEndpoints } = extProc;
  return {
    ...DEFAULT_ROUTING,
    // Large fleets are polled less often: each node would count as stale most of the time.
    freshMs: Math.max(DEFAULT_ROUTING.freshMs, FRESH_INTERVALS * poll.interval),
    minAttempts: minEndpoints,
    // A gateway that retries so often must not walk off the list's end.
    maxAttempts: profile === 'epp-single' ? 1 : Math.max(routing.maxAttempts, minEndpoints),
    firstByteTimeoutMs: routing.firstByteTimeout,
    loadTimeoutMs: routing.loadTimeout,
    answerTimeoutMs: routing.answerTimeout,
    defaultLoadBytesPerSecond: routing.defaultLoadRate,
    rewrites: rewritePolicy(config),
  };
}

export function rewritePolicy({ rewrites }: Config): RewritePolicy {
  const { keepAliveMin, keepAliveMax, ...others } = rewrites;
  return {
    ...others,
    numCtxMax: rewrites.numCtxMax,
    keepAliveMin: keepAliveMin === undefined ? undefined : keepAliveMin / 1_000,
    keepAliveMax: keepAliveMax / 1_000,
  };
}

/** The aliases of a configuration whose aliases were checked. */
export function modelAliases({ models }: Config): ModelAliases {
  return aliasesFrom(models).aliases;
}

export function linePolicy({ waiting }: Config): LinePolicy {
  const { maxRequests, maxBytes, ageing } = waiting;
  return { maxRequests, maxBytes, ageingMs: ageing };
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
