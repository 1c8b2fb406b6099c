import { type EstimateKind, estimateAfter, weightAt } from './estimate.ts';
import { NO_FIGURES } from './figures.ts';
import { REFERENCE_BYTES } from './figures-key.ts';
import type { Sample, Samples } from './learn-samples.ts';
import type { Estimate, ModelFigures } from './types.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Hardware changes seldom, what people ask changes within the day, and so do strangers in a node's queue. */
const KINDS = {
  /** Whatever a load waits for makes it longer. */
  loadMs: { halfLifeMs: 7 * DAY, memory: 6, above: 2, below: 6, least: 1, most: HOUR, grain: 1 },
  /**
   * Ms for a token of a prompt. Prompts that the node still had make it look fast, by any factor: a mean of times gives
   * them little weight, a mean of rates all of it.
   */
  promptMs: { halfLifeMs: 3 * DAY, memory: 6, above: 4, below: 2, least: 1e-4, most: 1e5, grain: 1e-4 },
  answerRate: { halfLifeMs: 3 * DAY, memory: 6, above: 3, below: 3, least: 0.01, most: 1e6, grain: 0.01 },
  answerTokens: { halfLifeMs: 6 * HOUR, memory: 24, above: 4, below: 4, least: 1, most: 1e6, grain: 1 },
  bytesPerToken: { halfLifeMs: 7 * DAY, memory: 16, above: 3, below: 3, least: 0.25, most: 32, grain: 0.01 },
  heldMs: { halfLifeMs: 6 * HOUR, memory: 16, above: 4, below: 4, least: 1, most: HOUR, grain: 1 },
  innerWaitMs: { halfLifeMs: HOUR, memory: 6, above: 2, below: 6, least: 1, most: HOUR, grain: 1 },
} as const satisfies Readonly<Record<string, EstimateKind>>;

/** A prompt read so many times faster than usual was most likely still in the node's cache, which nobody tells. */
const TOO_FAST = 3;
const FAR_TOO_FAST = 10;
/** What is usual is known from so many samples, and each such surprise takes this share of the belief away. */
const KNOWN_WEIGHT = 4;
const LEAST_WEIGHT = 0.75;
const SURPRISE = 0.15;

/** The figures of a model after one more answer. `at`: Unix ms. */
export function figuresAfter(before: ModelFigures | undefined, samples: Samples, at: number): ModelFigures {
  const known = before ?? NO_FIGURES;
  return {
    loadMs: after(known.loadMs, samples.loadMs, at, KINDS.loadMs),
    promptRate: promptRateAfter(known.promptRate, samples.promptRate, at),
    answerRates: ratesAfter(known.answerRates, samples, at),
    answerTokens: after(known.answerTokens, samples.answerTokens, at, KINDS.answerTokens),
    bytesPerToken: after(known.bytesPerToken, samples.bytesPerToken, at, KINDS.bytesPerToken),
    heldMs: after(known.heldMs, samples.heldMs, at, KINDS.heldMs),
    innerWaitMs: after(known.innerWaitMs, samples.innerWaitMs, at, KINDS.innerWaitMs),
    slots: known.slots,
    defaultContext: known.defaultContext,
  };
}

/** What an answer says of the node itself: rates as if the model had `REFERENCE_BYTES`. */
export function nodeSamples(samples: Samples, sizeBytes: number | undefined): Samples {
  const scale = sizeBytes !== undefined && sizeBytes > 0 ? sizeBytes / REFERENCE_BYTES : undefined;
  const scaled = (sample: Sample | undefined): Sample | undefined =>
    sample === undefined || scale === undefined ? undefined : { ...sample, value: sample.value * scale };
  return {
    ...samples,
    loadMs: undefined, // the node has a load rate
    promptRate: scaled(samples.promptRate),
    answerRate: scaled(samples.answerRate),
  };
}

function ratesAfter(
  known: ModelFigures['answerRates'],
  { answerRate, beside }: Samples,
  at: number,
): ModelFigures['answerRates'] {
  if (answerRate === undefined) return known;
  const rates = known.slice();
  while (rates.length < beside) rates.push(undefined);
  rates[beside] = after(rates[beside], answerRate, at, KINDS.answerRate);
  return rates;
}

function promptRateAfter(
  known: Estimate | undefined,
  sample: Sample | undefined,
  at: number,
): Estimate | undefined {
  if (sample === undefined) return known;
  if (known !== undefined && known.value > 0) {
    const weight = weightAt(known, at, KINDS.promptMs);
    const times = sample.value / known.value;
    const isSurprise =
      (times > TOO_FAST && weight >= KNOWN_WEIGHT) || (times > FAR_TOO_FAST && weight >= LEAST_WEIGHT);
    // When it stays like this, the node has become faster: some surprises later it is believed.
    if (isSurprise) return { ...known, weight: weight * (1 - SURPRISE), at };
  }
  const next = estimateAfter(inverse(known), 1_000 / sample.value, at, KINDS.promptMs, sample.weight);
  return inverse(next);
}

/** A rate per second as ms, and the other way round. */
function inverse(estimate: Estimate | undefined): Estimate | undefined {
  if (estimate === undefined || !(estimate.value > 0)) return undefined;
  const value = 1_000 / estimate.value;
  return { ...estimate, value, spread: (estimate.spread / estimate.value) * value };
}

function after(
  known: Estimate | undefined,
  sample: Sample | undefined,
  at: number,
  kind: EstimateKind,
): Estimate | undefined {
  return sample === undefined ? known : estimateAfter(known, sample.value, at, kind, sample.weight);
}
