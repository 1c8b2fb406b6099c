import { confidenceIn, isSure, NO_FIGURES, refined } from '../fleet/figures.ts';
import { anyContextKey, figuresKey, NODE_FIGURES_KEY, REFERENCE_BYTES } from '../fleet/figures-key.ts';
import type { Estimate, ModelFigures, ModelKey, NodeView } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import type { RoutingParams } from './params.ts';

/** What a request most likely costs on a node, without any wait. All finite and not negative. */
export interface ServicePrediction {
  /** A whole load of the model at the request's context; what is already loaded is the caller's to know. */
  readonly loadSeconds: number;
  readonly promptTokens: number;
  /** Reading the whole prompt, nothing of it cached, with all that comes before the first token. */
  readonly promptSeconds: number;
  /** Of it, per byte of the prompt: what the prompt cache saves. */
  readonly promptSecondsPerByte: number;
  readonly answerTokens: number;
  /** Writing the answer, with `concurrency` requests at once on the model. */
  readonly answerSeconds: number;
  /** How much of this was seen on this node with this model, 0 to 1; the rest is from other models or taken for granted. */
  readonly confidence: number;
}

/** No prediction is longer: what cannot be is not believed. */
const MAX_SECONDS = 3_600;
const MAX_TOKENS = 1e7;

/**
 * Predicts from what this node has shown, the nearest figures first: this model at this context; at any context; other
 * models of the node, scaled by size; what is taken for granted, scaled by the node's weight. Each level corrects the one
 * before it as far as its samples carry. `sizeBytes`: the model's size on disk; `concurrency`: requests at once on the
 * model, this one included.
 */
export function predictService(
  node: NodeView,
  request: RouteRequest,
  sizeBytes: number,
  concurrency: number,
  params: RoutingParams,
): ServicePrediction {
  const { figures } = node;
  const size = sizeBytes > 0 && sizeBytes < Number.POSITIVE_INFINITY ? sizeBytes : params.defaultModelBytes;
  const weight = node.weight > 0 && node.weight < Number.POSITIVE_INFINITY ? node.weight : 1;
  const keys = keysOf(request.model.key, request.numCtx);
  const exact = figures.get(keys.exact) ?? NO_FIGURES;
  const any = figures.get(keys.any) ?? NO_FIGURES;
  const all = figures.get(NODE_FIGURES_KEY) ?? NO_FIGURES;
  const scale = REFERENCE_BYTES / size;
  const { operation } = request.endpoint;
  const isRead = operation !== 'show' && !request.isEmpty;
  const isWritten = isRead && operation !== 'embed';

  const bytesPerToken = known(
    params.bytesPerToken,
    all.bytesPerToken,
    any.bytesPerToken,
    exact.bytesPerToken,
  );
  const promptRate = promptRateOf(weight, scale, all, any, exact, params);
  const promptTokens = isRead
    ? promptTokensOf(request, bytesPerToken, contextOf(node, request, exact), params)
    : 0;
  const answerTokens = isWritten ? answerTokensOf(request, all, any, exact, params) : 0;
  const promptSeconds = isRead
    ? sane(startSecondsOf(weight, any, exact, params) + promptTokens / promptRate)
    : 0;
  const rated = isWritten
    ? sane(answerTokens / answerRateOf(weight, scale, all, any, exact, concurrency, params))
    : 0;
  const isShort = request.maxTokens !== undefined && answerTokens >= request.maxTokens;
  const held = isWritten && !isShort ? heldAlone(any, exact) : undefined;
  const confidence = confidenceOf(any, exact, isWritten, concurrency);
  return {
    loadSeconds: loadSecondsOf(node, size, weight, any, exact, params),
    promptTokens,
    promptSeconds,
    promptSecondsPerByte: isRead ? sane(1 / (promptRate * bytesPerToken)) : 0,
    answerTokens,
    answerSeconds: held === undefined ? rated : heldSeconds(promptSeconds, rated, held),
    confidence: held === undefined ? confidence : Math.max(confidence, confidenceIn(held)),
  };
}

/** How long requests take as a whole, where that is all that is known: streams of /v1 mostly tell no tokens. */
function heldAlone(any: ModelFigures, exact: ModelFigures): Estimate | undefined {
  if (any.answerRates.length > 0 || exact.answerRates.length > 0) return undefined;
  return exact.heldMs ?? any.heldMs;
}

/** What of that is left for the answer. */
function heldSeconds(promptSeconds: number, answerSeconds: number, held: Estimate): number {
  return sane(refined((promptSeconds + answerSeconds) * 1_000, held) / 1_000 - promptSeconds);
}

function loadSecondsOf(
  node: NodeView,
  size: number,
  weight: number,
  any: ModelFigures,
  exact: ModelFigures,
  params: RoutingParams,
): number {
  const rate = node.loadBytesPerSecond ?? params.defaultLoadBytesPerSecond * weight;
  const prior = params.loadStartSeconds + size / Math.max(1, rate);
  return sane(known(prior * 1000, undefined, any.loadMs, exact.loadMs) / 1000);
}

/** What passes before the node begins to read: its own overhead, and what strangers make it wait. */
function startSecondsOf(
  weight: number,
  any: ModelFigures,
  exact: ModelFigures,
  params: RoutingParams,
): number {
  const prior = (params.baseSeconds * 1000) / weight;
  return known(prior, undefined, any.innerWaitMs, exact.innerWaitMs) / 1000;
}

function promptTokensOf(
  request: RouteRequest,
  bytesPerToken: number,
  context: number | undefined,
  params: RoutingParams,
): number {
  const tokens = request.promptBytes / bytesPerToken + request.images * params.tokensPerImage;
  // What does not fit the context is cut off before it is read.
  const most = context !== undefined && context > 0 ? context : MAX_TOKENS;
  return Number.isNaN(tokens) ? 0 : Math.min(Math.max(0, tokens), most);
}

function contextOf(node: NodeView, request: RouteRequest, exact: ModelFigures): number | undefined {
  return request.numCtx ?? exact.defaultContext ?? node.warm.get(request.model.key)?.contextLength;
}

function answerTokensOf(
  { maxTokens }: RouteRequest,
  all: ModelFigures,
  any: ModelFigures,
  exact: ModelFigures,
  params: RoutingParams,
): number {
  const usual = known(params.answerTokens, all.answerTokens, any.answerTokens, exact.answerTokens);
  return maxTokens !== undefined && maxTokens >= 0 ? Math.min(usual, maxTokens) : usual;
}

/** Tokens of the prompt that are read per second. */
function promptRateOf(
  weight: number,
  scale: number,
  all: ModelFigures,
  any: ModelFigures,
  exact: ModelFigures,
  params: RoutingParams,
): number {
  if (isSure(exact.promptRate)) return exact.promptRate.value;
  const node = refined((params.promptBytesPerSecond * weight) / REFERENCE_BYTES, all.promptRate);
  return refined(refined(node * scale, any.promptRate), exact.promptRate);
}

/** Tokens per second of one answer among `concurrency`. */
function answerRateOf(
  weight: number,
  scale: number,
  all: ModelFigures,
  any: ModelFigures,
  exact: ModelFigures,
  concurrency: number,
  params: RoutingParams,
): number {
  const rate = exact.answerRates[placeOf(concurrency)];
  if (isSure(rate)) return rate.value;
  const prior = (params.answerBytesPerSecond * weight) / REFERENCE_BYTES / slowdown(concurrency, params);
  const node = refinedRate(prior, all, concurrency, params);
  return refinedRate(refinedRate(node * scale, any, concurrency, params), exact, concurrency, params);
}

/** First by the nearest number of requests at once that was seen, as it would be with `concurrency`; then by that itself. */
function refinedRate(
  prior: number,
  { answerRates }: ModelFigures,
  concurrency: number,
  params: RoutingParams,
): number {
  if (answerRates.length === 0) return prior;
  const wanted = placeOf(concurrency);
  const seen = answerRates[wanted];
  if (isSure(seen)) return seen.value;
  const other = nearestSeen(answerRates, wanted);
  if (other === undefined) return refined(prior, seen);
  const ratio = slowdown(other + 1, params) / slowdown(concurrency, params);
  return refined(refined(prior / ratio, answerRates[other]) * ratio, seen);
}

/** How much longer an answer takes among so many. */
function slowdown(concurrency: number, params: RoutingParams): number {
  return concurrency > 1 ? 1 + params.slowdownPerRequest * (concurrency - 1) : 1;
}

function placeOf(concurrency: number): number {
  return concurrency >= 1 ? Math.floor(concurrency) - 1 : 0;
}

/** The place nearest to `wanted`, but itself. */
function nearestSeen(rates: ModelFigures['answerRates'], wanted: number): number | undefined {
  let best: number | undefined;
  for (let place = 0; place < rates.length; place += 1) {
    if (place === wanted || rates[place] === undefined) continue;
    if (best === undefined || Math.abs(place - wanted) < Math.abs(best - wanted)) best = place;
  }
  return best;
}

function confidenceOf(
  any: ModelFigures,
  exact: ModelFigures,
  isWritten: boolean,
  concurrency: number,
): number {
  const reading = Math.max(confidenceIn(any.promptRate), confidenceIn(exact.promptRate));
  if (!isWritten) return reading;
  return (reading + Math.max(writing(any, concurrency), writing(exact, concurrency))) / 2;
}

function writing({ answerRates }: ModelFigures, concurrency: number): number {
  if (answerRates.length === 0) return 0;
  const wanted = placeOf(concurrency);
  const confidence = confidenceIn(answerRates[wanted]);
  if (confidence === 1) return 1;
  const other = nearestSeen(answerRates, wanted);
  return other === undefined ? confidence : Math.max(confidence, confidenceIn(answerRates[other]));
}

/** The last estimate, as far as it is to be believed, then the one before it, and so on to what is taken for granted. */
function known(
  prior: number,
  all: Estimate | undefined,
  any: Estimate | undefined,
  exact: Estimate | undefined,
): number {
  return isSure(exact) ? exact.value : refined(refined(refined(prior, all), any), exact);
}

function sane(seconds: number): number {
  return seconds >= 0 ? Math.min(MAX_SECONDS, seconds) : seconds < 0 ? 0 : MAX_SECONDS;
}

interface Keys {
  readonly model: ModelKey;
  readonly context: number | undefined;
  readonly exact: string;
  readonly any: string;
}

/** One decision asks for the same keys at every node. */
let lastKeys: Keys = { model: '', context: undefined, exact: '', any: '' };

function keysOf(model: ModelKey, context: number | undefined): Keys {
  if (lastKeys.model !== model || lastKeys.context !== context)
    lastKeys = { model, context, exact: figuresKey(model, context), any: anyContextKey(model) };
  return lastKeys;
}
