import type { Health, ModelKey } from './types.ts';

/** Timeouts in a row on one model after which the pair of node and model is left alone. */
const STUCK_AFTER = 2;
const FIRST_QUARANTINE_MS = 30_000;
const LONGEST_QUARANTINE_MS = 600_000;
/** A single timeout that nothing followed for so long says nothing any more. */
const FORGET_AFTER_MS = 600_000;
const MAX_PAIRS = 64;

type StuckModels = Health['stuckModels'];
type StuckModel = { readonly strikes: number; readonly until: number };

/**
 * How a (node, model) pair may be used. `stuck`: not now. `half_open`: one request at a time may find out whether the
 * runner recovered. The pair is told apart from the node because a frozen runner leaves the node's polls in order.
 */
export function stuckState(stuck: StuckModels, model: ModelKey, now: number): 'fine' | 'stuck' | 'half_open' {
  if (stuck.size === 0) return 'fine';
  const entry = stuck.get(model);
  if (entry === undefined || entry.strikes < STUCK_AFTER) return 'fine';
  return now < entry.until ? 'stuck' : 'half_open';
}

/** A first byte did not come in time. Timeouts of requests sent before the quarantine began do not lengthen it. */
export function strikeModel(stuck: StuckModels, model: ModelKey, now: number): StuckModels {
  const entry = stuck.get(model);
  if (stuckState(stuck, model, now) === 'stuck') return stuck;
  const isForgotten = entry !== undefined && now >= entry.until + FORGET_AFTER_MS;
  const strikes = entry === undefined || isForgotten ? 1 : entry.strikes + 1;
  const doublings = Math.max(0, strikes - STUCK_AFTER);
  const quarantineMs = Math.min(LONGEST_QUARANTINE_MS, FIRST_QUARANTINE_MS * 2 ** doublings);
  return bounded(stuck, model, { strikes, until: strikes < STUCK_AFTER ? now : now + quarantineMs });
}

/** The model answered: the pair is as good as new. */
export function clearModel(stuck: StuckModels, model: ModelKey): StuckModels {
  if (!stuck.has(model)) return stuck;
  const rest = new Map(stuck);
  rest.delete(model);
  return rest;
}

function bounded(stuck: StuckModels, model: ModelKey, entry: StuckModel): StuckModels {
  const next = new Map(stuck);
  next.delete(model);
  next.set(model, entry);
  for (const oldest of next.keys()) {
    if (next.size <= MAX_PAIRS) break;
    next.delete(oldest);
  }
  return next;
}
