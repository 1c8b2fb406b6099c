import type { RouteRequest } from '../request/types.ts';
import type { RewritePolicy } from './rewrite-policy.ts';
import type { Rewrite } from './rewrites.ts';

/** Ollama's own `keep_alive`, seconds: what a caller gets who may not unload the model and has no floor. */
const USUAL_KEEP_ALIVE = 300;

/**
 * How a caller without privilege keeps the model in memory: between floor and ceiling; undefined: as it says. A request that
 * names no `keep_alive` is left alone: what the node's owner set counts. An answer that would unload the model (0, or below a
 * second) keeps it for the floor instead, or as long as Ollama usually does.
 */
export function keepAliveFor(request: RouteRequest, policy: RewritePolicy): Rewrite | undefined {
  const { keepAlive, unloads } = request;
  if (keepAlive === undefined && !unloads) return undefined;
  const { keepAliveMin, keepAliveMax = Number.POSITIVE_INFINITY } = policy;
  if (unloads) {
    if (policy.unload === 'anyone') return undefined;
    return edit(Math.min(keepAliveMin ?? USUAL_KEEP_ALIVE, keepAliveMax), 'unload_stopped');
  }
  const asked = keepAlive === undefined || keepAlive < 0 ? Number.POSITIVE_INFINITY : keepAlive;
  if (asked > keepAliveMax) return edit(keepAliveMax, 'keep_alive_cut');
  if (keepAliveMin !== undefined && asked < keepAliveMin) return edit(keepAliveMin, 'keep_alive_raised');
  return undefined;
}

function edit(seconds: number, why: Rewrite['why']): Rewrite {
  return { field: 'keep_alive', to: seconds, why };
}
