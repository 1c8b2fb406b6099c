import type { FailureReason, Health, ModelKey, StuckModel } from './types.ts';

/** Strikes in a row on one model after which the pair of node and model is left alone. */
const STUCK_AFTER = 2;
/**
 * What a failure counts as. A first byte that does not come is the model's runner; an answer that breaks off or ends in an
 * error may be, and so may a 500, which in Ollama is also what a bad option gets. A node that is not there has no models.
 */
const STRIKES: Readonly<Partial<Record<FailureReason, number>>> = {
  timeout: 1,
  truncated: 0.7,
  in_band_error: 0.7,
  bad_answer: 0.5,
  server_error: 0.5,
};
const FIRST_QUARANTINE_MS = 30_000;
const LONGEST_QUARANTINE_MS = 600_000;
/** Failures that come at once cost the next request little: they may be tried again sooner. */
const LONGEST_BROKEN_MS = 120_000;
/** A single failure that nothing followed for so long says nothing any more. */
const FORGET_AFTER_MS = 600_000;
/** How long a pair is half open before it competes as any other; the next failure closes it again. */
const HALF_OPEN_MS = FORGET_AFTER_MS;
const HALF_OPEN_BROKEN_MS = 15_000;
const MAX_PAIRS = 64;

type StuckModels = Health['stuckModels'];

/**
 * How a (node, model) pair may be used. `stuck`: not now. `half_open`: one request at a time may find out whether the
 * runner recovered; where nobody did for a while, it is as good as any other until it fails again. The pair is told apart from the node because a frozen runner leaves the node's polls in order.
 */
export function stuckState(stuck: StuckModels, model: ModelKey, now: number): 'fine' | 'stuck' | 'half_open' {
  if (stuck.size === 0) return 'fine';
  const entry = stuck.get(model);
  if (entry === undefined || entry.strikes < STUCK_AFTER) return 'fine';
  if (now < entry.until) return 'stuck';
  return now < (entry.fineAt ?? Number.POSITIVE_INFINITY) ? 'half_open' : 'fine';
}

/** The model failed. Failures of requests sent before the quarantine began do not lengthen it. */
export function strikeModel(
  stuck: StuckModels,
  model: ModelKey,
  now: number,
  reason: FailureReason = 'timeout',
): StuckModels {
  const by = STRIKES[reason];
  if (by === undefined) return stuck;
  const entry = stuck.get(model);
  if (stuckState(stuck, model, now) === 'stuck') return stuck;
  const isForgotten = entry !== undefined && now >= entry.until + FORGET_AFTER_MS;
  const strikes = entry === undefined || isForgotten ? by : entry.strikes + by;
  const doublings = Math.max(0, Math.floor(strikes - STUCK_AFTER));
  const isSlow = reason === 'timeout';
  const longestMs = isSlow ? LONGEST_QUARANTINE_MS : LONGEST_BROKEN_MS;
  const quarantineMs = Math.min(longestMs, FIRST_QUARANTINE_MS * 2 ** Math.min(20, doublings));
  const until = strikes < STUCK_AFTER ? now : now + quarantineMs;
  return bounded(stuck, model, {
    strikes,
    until,
    fineAt: until + (isSlow ? HALF_OPEN_MS : HALF_OPEN_BROKEN_MS),
  });
}

/** Its last requests failed as well: what fails now says more of the model than of the node. */
export function isFailing(stuck: StuckModels, model: ModelKey): boolean {
  return stuck.has(model);
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
