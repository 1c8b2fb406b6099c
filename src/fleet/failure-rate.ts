import type { FailureReason, Health } from './types.ts';

/** How far one served request moves the rate towards 0. */
const SERVED_WEIGHT = 0.3;
/** An idle node's rate halves about every 14 s, or a node that nobody tries would be shunned for ever. */
const FORGET_MS = 20_000;

/**
 * How far one failure moves the rate towards 1. A request may itself be the cause of a 500 or an error line (a bad
 * option is a 500 in Ollama), so these weigh half. A busy node is not a broken one, and a first byte that does not come
 * is mostly one model's runner: see stuck.ts.
 */
const FAILURE_WEIGHT: Readonly<Record<FailureReason, number>> = {
  refused: 0.3,
  connect_timeout: 0.3,
  timeout: 0.12,
  reset: 0.3,
  truncated: 0.3,
  dns: 0.3,
  tls: 0.3,
  unexplained: 0.15,
  bad_answer: 0.15,
  server_error: 0.15,
  in_band_error: 0.15,
  busy: 0.1,
  model_missing: 0,
};

/** Failures that are perhaps one model's, once it has failed before: its next ones are counted against the model. */
const KNOWN_SHARE = 0.25;
const PERHAPS_MODEL: ReadonlySet<FailureReason> = new Set([
  'truncated',
  'in_band_error',
  'bad_answer',
  'server_error',
]);

/**
 * Share of live attempts that failed, smoothed. Polls do not count: a node whose inventory answers while inference
 * fails at once would otherwise look like the least loaded of all, and attract everything.
 */
export function failureRateAfter(
  rate: number,
  reason: FailureReason | undefined,
  isModelFailing = false,
): number {
  if (reason === undefined) {
    const next = rate * (1 - SERVED_WEIGHT);
    return next < 0.005 ? 0 : next;
  }
  const share = isModelFailing && PERHAPS_MODEL.has(reason) ? KNOWN_SHARE : 1;
  const next = rate + (1 - rate) * FAILURE_WEIGHT[reason] * share;
  return next > 0.999 ? 1 : next;
}

/** The rate as it counts at `now`: old failures fade. */
export function fadedFailureRate(health: Health, now: number): number {
  const { failureRate, lastFailure } = health;
  if (failureRate === 0 || lastFailure === undefined) return failureRate;
  const faded = failureRate * Math.exp(-Math.max(0, now - lastFailure.at) / FORGET_MS);
  return faded < 0.005 ? 0 : faded;
}
