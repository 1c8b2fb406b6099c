import type { ServiceTimes } from './types.ts';

const MAX_SLOTS = 64;
/** A load or a wait for one shows in `loadMs` above this; a warm request always has a few ms of it. */
const WARM_LOAD_MS = 50;
/** Requests shorter than this wait too little to tell a free slot from a lucky one. */
const MIN_WORK_MS = 100;
/** Shares of a request's own work: up to the first it did not wait, from the second on it did. */
const NO_WAIT = 0.1;
const CLEAR_WAIT = 0.25;

/**
 * How a node's parallel slots are learnt, as Ollama tells them nowhere (OLLAMA_NUM_PARALLEL, 1 by default).
 *
 * Ollama reports four durations at the end of an answer, and the time a request waited for a slot is in the total
 * only: `wait = total - load - prompt_eval - eval`. So each answer on a warm model is an experiment, given how many of
 * our requests were on the model when it was sent (`concurrency`):
 *
 * - more than the believed slots, and it did not wait: there is at least one slot more, so the belief rises by one;
 * - no more than the believed slots, and it clearly waited: there are fewer, so the belief falls below `concurrency`.
 *
 * The belief starts at 1. It rises one step for each answer, so that a request that slipped in just as another ended
 * cannot inflate it, and falls at once, because a request that waits in Ollama can no longer be sent elsewhere.
 * Requests that reach the node past Warmpath lower it: what counts is the slots that are ours. A request that was alone
 * (or of whose company nothing is known) waits only for strangers and teaches nothing, nor do answers without all four
 * durations (`/v1/*`, embeddings), cold ones and very short ones. `slots` in the configuration ends all of this.
 */
export function slotsAfter(slots: number, service: ServiceTimes): number {
  const { concurrency, wasWarm, totalMs, loadMs, promptEvalMs, evalMs } = service;
  if (!wasWarm || loadMs === undefined || promptEvalMs === undefined || evalMs === undefined) return slots;
  const workMs = promptEvalMs + evalMs;
  if (loadMs > WARM_LOAD_MS || !(workMs >= MIN_WORK_MS)) return slots;
  const waitMs = totalMs - loadMs - workMs;
  if (concurrency > slots && waitMs <= NO_WAIT * workMs) return Math.min(MAX_SLOTS, slots + 1);
  if (concurrency > 1 && concurrency <= slots && waitMs >= CLEAR_WAIT * workMs) return concurrency - 1;
  return slots;
}
