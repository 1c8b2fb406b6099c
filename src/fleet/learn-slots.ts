import { WARM_LOAD_MS } from './learn-samples.ts';
import type { ModelFigures, ServiceTimes } from './types.ts';

export const MAX_SLOTS = 64;
/** Requests shorter than this wait too little to tell a free slot from a lucky one. */
const MIN_WORK_MS = 100;
/** Shares of a request's own work: up to the first it did not wait, from the second on it did. */
const NO_WAIT = 0.1;
const CLEAR_WAIT = 0.25;
/** The same where the work is only known from other requests. */
const CLEAR_GUESSED_WAIT = 0.75;
/**
 * Shares of its work alone that a request still took after the first of those before it had ended: with less it cannot have begun
 * only then, about as much shows that it did. With more it shared the machine, or was slowed down by others.
 */
const BEGAN_BEFORE = 0.4;
const BEGAN_THEN = [0.85, 1.25] as const;
/** Guessed waits in a row that count as one. A slot that is wrongly given up costs more than a wait inside the node. */
const DOUBTS = { beyond: 3, within: 12 };
/** Ends are heard of a little late, each by another delay. */
const HEARD_LATE_MS = 20;
const FIRST_PAUSE_MS = 30_000;
const LONGEST_PAUSE_MS = 30 * 60_000;

/** Answers in a row that look as if they had waited, where that is only guessed: those beyond the believed slots, and the others. */
export interface SlotDoubts {
  readonly beyond: number;
  readonly within: number;
}

const NO_DOUBTS: SlotDoubts = { beyond: 0, within: 0 };

/** What one answer says of the slots for its model: how many are believed in now, and how a trial of one more went. */
export interface SlotLesson {
  readonly slots: number;
  readonly trial: 'passed' | 'failed' | undefined;
  /** Undefined: as before. */
  readonly doubts?: SlotDoubts;
}

/**
 * How a node's parallel slots are learnt, as Ollama tells them nowhere (OLLAMA_NUM_PARALLEL, 1 by default).
 *
 * Two things show them. Ollama begins with the requests for a model in their order, so an answer that began while `k`
 * earlier ones of the same model still ran proves `k + 1` slots (`servedBeside`); that is seen from outside, for every API.
 * And Ollama's own APIs report four durations at the end of an answer, of which a request that had to wait for a slot has
 * the wait in the total only: `wait = total - load - prompt_eval - eval`. Given how many of our requests were on the model
 * when it was sent (`concurrency`), each answer is an experiment:
 *
 * - more than the believed slots, and it ran beside all of them: there is at least one more, so the belief rises by one;
 * - more than the believed slots, and it waited: a failed trial;
 * - no more than the believed slots, and it clearly waited: there are fewer, so the belief falls below `concurrency`.
 *
 * An answer in one piece without durations shows neither. But where it ended so soon after the first of the earlier ones that
 * its tokens cannot have been written in that time, it ran beside them (`afterFirstEndMs`). That it waited is believed when
 * several in a row look like it: on a machine that several at once slow down, now and then one does by chance.
 *
 * The belief starts at 1. As requests wait here and not in the node once all believed slots are taken, nothing would ever
 * show one more: so now and then one request too many is sent as a trial (`probeSlotsAt`). A failed one costs that request
 * the rest of another, and doubles the pause before the next; a passed one is followed by the next at once. Slots that the
 * configuration or an agent states are not tried.
 *
 * The belief rises one step for each answer and falls at once, because a request that waits in Ollama can no longer be sent
 * elsewhere. Requests that reach the node past Warmpath lower it: what counts is the slots that are ours. A request that
 * was alone (or of whose company nothing is known) waits only for strangers and teaches nothing; waits are judged on warm
 * requests of some length only. Without durations the wait is what a request took longer than its tokens usually take.
 */
export function slotLesson(
  slots: number,
  service: ServiceTimes,
  known: ModelFigures,
  doubts: SlotDoubts = NO_DOUBTS,
): SlotLesson {
  const { concurrency, servedBeside } = service;
  const passed: SlotLesson = { slots: Math.min(MAX_SLOTS, slots + 1), trial: 'passed', doubts: NO_DOUBTS };
  const nothing: SlotLesson = { slots, trial: undefined };
  if (servedBeside !== undefined && servedBeside >= slots) return passed;
  // It ran beside all of them: whatever made it slow, it was not a wait for a slot.
  if (concurrency <= 1 || (servedBeside !== undefined && servedBeside >= concurrency - 1)) return nothing;
  if (concurrency > slots && beganBeforeFirstEnd(service, known)) return passed;
  const wait = waitOf(service, known, slots);
  if (wait === undefined) return nothing;
  // Where it is known who still ran, a short wait only says that one of them ended in time.
  if (wait === 'none') return concurrency > slots && servedBeside === undefined ? passed : nothing;
  const isGuess = service.evalMs === undefined && service.firstByteMs === undefined;
  const side = concurrency > slots ? 'beyond' : 'within';
  if (wait !== 'clear') return isGuess ? { ...nothing, doubts: { ...doubts, [side]: 0 } } : nothing;
  if (isGuess && doubts[side] + 1 < DOUBTS[side])
    return { ...nothing, doubts: { ...doubts, [side]: doubts[side] + 1 } };
  if (side === 'beyond') return { slots, trial: 'failed', doubts: NO_DOUBTS };
  // What is only guessed takes one slot at a time: a machine that others slow down looks the same.
  return { slots: isGuess ? slots - 1 : concurrency - 1, trial: 'failed', doubts: NO_DOUBTS };
}

function waitOf(
  service: ServiceTimes,
  known: ModelFigures,
  slots: number,
): 'none' | 'clear' | 'some' | undefined {
  const { wasWarm, totalMs, loadMs, promptEvalMs, evalMs } = service;
  if (!wasWarm || (loadMs !== undefined && loadMs > WARM_LOAD_MS)) return undefined;
  if (loadMs === undefined || promptEvalMs === undefined || evalMs === undefined)
    return guessedWait(service, known, slots);
  const workMs = promptEvalMs + evalMs;
  if (!(workMs >= MIN_WORK_MS)) return undefined;
  const waitMs = totalMs - loadMs - workMs;
  if (waitMs <= NO_WAIT * workMs) return 'none';
  return waitMs >= CLEAR_WAIT * workMs ? 'clear' : 'some';
}

/** Ollama begins with requests in their order, so then all the earlier ones had begun as well. */
function beganBeforeFirstEnd(service: ServiceTimes, known: ModelFigures): boolean {
  const { afterFirstEndMs, evalMs, wasWarm } = service;
  if (afterFirstEndMs === undefined || evalMs !== undefined || !wasWarm) return false;
  const workMs = leastWorkMs(service, known);
  return workMs !== undefined && afterFirstEndMs + HEARD_LATE_MS <= BEGAN_BEFORE * workMs;
}

/** What its tokens take on the machine alone, nothing counted that the node may have had in its cache. */
function leastWorkMs(
  { promptTokens, completionTokens }: ServiceTimes,
  { promptRate, answerRates }: ModelFigures,
): number | undefined {
  if (completionTokens === undefined) {
    if (promptTokens === undefined || promptRate === undefined) return undefined;
    return (promptTokens / promptRate.value) * 1_000;
  }
  const fastest = Math.max(0, ...answerRates.map((rate) => rate?.value ?? 0));
  return fastest > 0 ? (completionTokens / fastest) * 1_000 : undefined;
}

function guessedWait(
  service: ServiceTimes,
  known: ModelFigures,
  slots: number,
): 'clear' | 'some' | undefined {
  const { concurrency, afterFirstEndMs, firstByteMs = Number.POSITIVE_INFINITY } = service;
  // Sharing the machine takes as long as waiting for each other: how fast it is with so many at once must have been seen.
  if (concurrency <= slots && known.answerRates[concurrency - 1] === undefined) return 'some';
  const aloneMs = afterFirstEndMs === undefined ? undefined : leastWorkMs(service, known);
  if (afterFirstEndMs !== undefined && aloneMs !== undefined && aloneMs >= MIN_WORK_MS) {
    const share = afterFirstEndMs / aloneMs;
    if (share < BEGAN_THEN[0] || share > BEGAN_THEN[1]) return 'some';
    // However short its wait was: it began as soon as it could.
    if (concurrency > slots) return 'clear';
  }
  const workMs = usualWorkMs(service, known);
  if (workMs === undefined || !(workMs >= MIN_WORK_MS)) return undefined;
  const waitMs = Math.min(firstByteMs, service.totalMs - workMs) - (service.loadMs ?? 0);
  return waitMs >= CLEAR_GUESSED_WAIT * workMs ? 'clear' : 'some';
}

/** By its tokens, where they and the rates are known; else what requests usually take. */
function usualWorkMs(
  service: ServiceTimes,
  { promptRate, answerRates, heldMs }: ModelFigures,
): number | undefined {
  const { promptTokens, completionTokens, concurrency } = service;
  const answerRate = (answerRates[concurrency - 1] ?? answerRates.at(-1) ?? answerRates[0])?.value;
  if (completionTokens === undefined || answerRate === undefined) return heldMs?.value;
  const readingMs = promptRate === undefined ? 0 : ((promptTokens ?? 0) / promptRate.value) * 1_000;
  return readingMs + (completionTokens / answerRate) * 1_000;
}

/** Monotonic ms from which on the next trial may be sent, after one that failed at `now`. */
export function probeAfterFailure(failedBefore: number, now: number): number {
  return now + Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(20, failedBefore));
}
