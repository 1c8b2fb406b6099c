import type { HealthParams } from './params.ts';
import type { Health } from './types.ts';

/** What a node that has just come back is trusted with. */
const FIRST_SHARE = 0.1;

/**
 * Share of its slots that a node may fill, 0.1 to 1: a node that was down lately climbs in a straight line over
 * `slowStartMs`, so that the queue of a whole fleet does not fall on it in its first second. Nodes that were never
 * down, new ones included, start whole.
 */
export function admission(health: Health, params: HealthParams, now: number): number {
  if (health.flaps === 0 || health.status !== 'ready' || params.slowStartMs <= 0) return 1;
  const elapsed = Math.max(0, now - health.since);
  if (elapsed >= params.slowStartMs) return 1;
  return FIRST_SHARE + (1 - FIRST_SHARE) * (elapsed / params.slowStartMs);
}
