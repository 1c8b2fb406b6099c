import type { ModelFigures, ServiceTimes } from './types.ts';

/** A figure as one answer shows it; `weight` below 1 where it says less than a clean measurement. */
export interface Sample {
  readonly value: number;
  readonly weight: number;
}

/** Everything that one answer shows. Undefined: nothing. */
export interface Samples {
  readonly loadMs: Sample | undefined;
  readonly promptRate: Sample | undefined;
  readonly answerRate: Sample | undefined;
  /** Requests that ran beside it: the place of `answerRate` in `answerRates`. */
  readonly beside: number;
  readonly answerTokens: Sample | undefined;
  readonly bytesPerToken: Sample | undefined;
  readonly heldMs: Sample | undefined;
  readonly innerWaitMs: Sample | undefined;
}

/** A load or a wait for one shows in `loadMs` above this; a warm request always has a few ms of it. */
export const WARM_LOAD_MS = 50;
/** What looks warm and still loads was loaded anew, unless it is only a busy machine. */
const SURE_LOAD_MS = 250;
export const MAX_BESIDE = 15;
/** Prompts shorter than this take as long for the first token as for all: they say less of the rate. */
const WHOLE_PROMPT_TOKENS = 128;
const WHOLE_ANSWER_TOKENS = 16;
/** Templates weigh more than the text in shorter prompts. */
const WHOLE_PROMPT_BYTES = 1_024;
const USUAL_BYTES_PER_TOKEN = 4;
/** Reading a token is so many times as fast as writing one, at least. */
const READS_FASTER = 10;
const MOST_READ_PER_WRITTEN = 600;
/** Above this share of the prompt in the cache, what is read is a small difference of two guesses. */
const MOSTLY_CACHED = 0.5;
/** What is worked out from Envoy's times, network and overhead included, counts so much. */
const OUTSIDE_WEIGHT = 0.5;

/**
 * What an answer shows of the model on its node. Ollama's own APIs tell durations; of the others only Envoy's times are
 * known, and they count where the request cannot have waited: warm, and within `slots`.
 */
export function samplesOf(service: ServiceTimes, known: ModelFigures, slots: number): Samples {
  const { concurrency, servedBeside } = service;
  const isUnqueued = concurrency <= slots || (servedBeside !== undefined && servedBeside >= concurrency - 1);
  const beside = Math.min(MAX_BESIDE, Math.max(0, servedBeside ?? Math.min(concurrency, slots) - 1));
  return {
    loadMs: loadSample(service, known),
    promptRate: promptSample(service, known, isUnqueued),
    answerRate: answerSample(service, known, isUnqueued),
    beside,
    answerTokens: positive(service.completionTokens, 1),
    bytesPerToken: textSample(service),
    heldMs: heldSample(service, slots),
    innerWaitMs: waitSample(service, isUnqueued),
  };
}

/**
 * Ollama loads one model after the other and waits for running requests before it reloads one, and all of that is in
 * `loadMs`. Only the first request for a model, on a node where nothing else of ours ran, shows the load alone; those that
 * join it see a part. Where no durations are told, the load is what the first byte came later than it would have.
 */
function loadSample(service: ServiceTimes, known: ModelFigures): Sample | undefined {
  const { concurrency, wasWarm, loadMs, firstByteMs, totalMs, promptTokens, besideOthers = 0 } = service;
  if (concurrency > 1 || besideOthers > 0) return undefined;
  if (loadMs !== undefined)
    return loadMs >= (wasWarm ? SURE_LOAD_MS : WARM_LOAD_MS) ? positive(loadMs, 1) : undefined;
  if (wasWarm) return undefined;
  const rate = known.promptRate?.value;
  const readingMs = rate !== undefined && promptTokens !== undefined ? (promptTokens / rate) * 1_000 : 0;
  const restMs =
    firstByteMs !== undefined ? firstByteMs - readingMs : totalMs - (known.heldMs?.value ?? totalMs);
  return restMs >= SURE_LOAD_MS ? positive(restMs, OUTSIDE_WEIGHT) : undefined;
}

function promptSample(service: ServiceTimes, known: ModelFigures, isUnqueued: boolean): Sample | undefined {
  const { promptTokens, promptEvalMs } = service;
  if (promptTokens === undefined || !(promptTokens > 0)) return undefined;
  const read = tokensRead(promptTokens, service, known);
  if (read === undefined) return undefined;
  const weight = Math.min(1, read / WHOLE_PROMPT_TOKENS);
  if (isFromCache(read, service)) return undefined;
  if (promptEvalMs !== undefined) return positive((read / promptEvalMs) * 1_000, weight);
  const ms = isUnqueued ? outsideReadingMs(service) : undefined;
  return ms === undefined ? undefined : positive((read / ms) * 1_000, weight * OUTSIDE_WEIGHT);
}

/** The node had more of the prompt than we know: no machine reads so many times faster than it writes. */
function isFromCache(read: number, { promptEvalMs, completionTokens, evalMs }: ServiceTimes): boolean {
  if (promptEvalMs === undefined || completionTokens === undefined || evalMs === undefined) return false;
  return completionTokens >= 2 && read * evalMs > MOST_READ_PER_WRITTEN * completionTokens * promptEvalMs;
}

/**
 * Tokens of the prompt that the node had to read. Its count covers the whole prompt in some versions of Ollama and only
 * what was read in others: the nearer one is believed.
 */
function tokensRead(counted: number, service: ServiceTimes, known: ModelFigures): number | undefined {
  const { promptBytes = 0, cachedBytes = 0 } = service;
  if (!(cachedBytes > 0) || !(promptBytes > 0)) return counted;
  const share = Math.min(1, cachedBytes / promptBytes);
  const whole = promptBytes / (known.bytesPerToken?.value ?? USUAL_BYTES_PER_TOKEN);
  const isOfAll = counted > whole * (1 - share / 2);
  if (!isOfAll) return counted;
  return share <= MOSTLY_CACHED ? counted * (1 - share) : undefined;
}

/** From the request's arrival to the first token, or to the end where there is no answer to write; warm requests only. */
function outsideReadingMs(service: ServiceTimes): number | undefined {
  const { wasWarm, loadMs, firstByteMs, totalMs, completionTokens, evalMs } = service;
  if (loadMs !== undefined ? loadMs > WARM_LOAD_MS : !wasWarm) return undefined;
  if (completionTokens === undefined && evalMs === undefined && firstByteMs === undefined)
    return totalMs - (loadMs ?? 0);
  return firstByteMs;
}

function answerSample(service: ServiceTimes, known: ModelFigures, isUnqueued: boolean): Sample | undefined {
  const { completionTokens, evalMs, firstByteMs, totalMs, wasWarm, promptTokens } = service;
  if (completionTokens === undefined || !(completionTokens >= 2)) return undefined;
  const weight = Math.min(1, completionTokens / WHOLE_ANSWER_TOKENS);
  if (evalMs !== undefined) return positive((completionTokens / evalMs) * 1_000, weight);
  if (firstByteMs !== undefined) {
    const ms = totalMs - firstByteMs;
    return positive(((completionTokens - 1) / ms) * 1_000, weight * OUTSIDE_WEIGHT);
  }
  if (!wasWarm || !isUnqueued) return undefined;
  // One answer in one piece: reading is a part of it.
  const rate = known.promptRate?.value;
  const writing = known.answerRates[0]?.value;
  const readAs = rate ?? (writing === undefined ? undefined : writing * READS_FASTER);
  const readingMs = readAs === undefined ? 0 : ((promptTokens ?? 0) / readAs) * 1_000;
  const ms = Math.max(totalMs - readingMs, totalMs / 2);
  return positive((completionTokens / ms) * 1_000, weight * OUTSIDE_WEIGHT);
}

/** Only where the count certainly covers the whole prompt, and the prompt was not cut off to fit the context. */
function textSample({
  promptBytes,
  cachedBytes = 0,
  promptTokens,
  numCtx,
}: ServiceTimes): Sample | undefined {
  if (promptBytes === undefined || promptTokens === undefined || cachedBytes > 0) return undefined;
  if (!(promptBytes > 0) || !(promptTokens > 0)) return undefined;
  if (numCtx !== undefined && promptTokens > 0.9 * numCtx) return undefined;
  return positive(promptBytes / promptTokens, Math.min(1, promptBytes / WHOLE_PROMPT_BYTES));
}

/** How long the request held its slot: its own work, without loading and waiting. */
function heldSample(service: ServiceTimes, slots: number): Sample | undefined {
  const { totalMs, loadMs, promptEvalMs, evalMs, concurrency, servedBeside, wasWarm } = service;
  if (promptEvalMs !== undefined && evalMs !== undefined) return positive(promptEvalMs + evalMs, 1);
  if (loadMs === undefined && !wasWarm) return undefined;
  // No durations from the node: with a queue before it, the request had about this share of its time for itself.
  const atOnce = Math.max(slots, (servedBeside ?? 0) + 1);
  const ownShare = Math.min(1, atOnce / Math.max(1, concurrency));
  return positive(Math.max(1, totalMs - (loadMs ?? 0)) * ownShare, ownShare);
}

/** Strangers in the node's own queue, and its overhead. Where the request had to wait for ours, it says nothing. */
function waitSample(service: ServiceTimes, isUnqueued: boolean): Sample | undefined {
  const { totalMs, loadMs, promptEvalMs, evalMs } = service;
  if (!isUnqueued || loadMs === undefined || promptEvalMs === undefined || evalMs === undefined)
    return undefined;
  if (loadMs > WARM_LOAD_MS) return undefined;
  return positive(Math.max(1, totalMs - promptEvalMs - evalMs), 1);
}

function positive(value: number | undefined, weight: number): Sample | undefined {
  const isUsable = value !== undefined && value > 0 && value < Number.POSITIVE_INFINITY && weight > 0;
  return isUsable ? { value, weight } : undefined;
}
