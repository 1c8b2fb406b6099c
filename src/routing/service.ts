import { confidenceIn, slotsFor } from '../fleet/figures.ts';
import { anyContextKey } from '../fleet/figures-key.ts';
import type { ModelKey, NodeView } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import type { RoutingParams } from './params.ts';
import { predictService } from './predict.ts';

/** How a node would serve a request that begins on it now. Seconds; finite and not negative. */
export interface Service {
  /** A whole load of the model, without waiting for other loads. */
  readonly loadSeconds: number;
  /** The node was seen loading. */
  readonly hasLoaded: boolean;
  /** Reading what of the prompt is not cached. */
  readonly promptSeconds: number;
  readonly answerSeconds: number;
  /** Requests that it runs at once for the model, at least 1. */
  readonly slots: number;
  /** Requests that may stand in the node's own queue besides, so that its slots are not idle until the next one arrives. */
  readonly queued: number;
  /** How much of the prompt's and the answer's seconds was seen there, 0 to 1. */
  readonly confidence: number;
}

/** The least seconds that any node of which enough was seen needs; Infinity: there is none. */
export interface Shown {
  readonly loadSeconds: number;
  readonly promptSeconds: number;
  readonly answerSeconds: number;
}

export const NOTHING_SHOWN: Shown = {
  loadSeconds: Number.POSITIVE_INFINITY,
  promptSeconds: Number.POSITIVE_INFINITY,
  answerSeconds: Number.POSITIVE_INFINITY,
};
/** From then on a node's own figures count as seen. */
const SEEN = 0.5;

export function shownBy(service: Service, before: Shown): Shown {
  const isSeen = service.confidence >= SEEN;
  if (!isSeen && !service.hasLoaded) return before;
  const { loadSeconds, promptSeconds, answerSeconds } = before;
  return {
    loadSeconds: service.hasLoaded ? Math.min(loadSeconds, service.loadSeconds) : loadSeconds,
    promptSeconds: isSeen ? Math.min(promptSeconds, service.promptSeconds) : promptSeconds,
    answerSeconds: isSeen ? Math.min(answerSeconds, service.answerSeconds) : answerSeconds,
  };
}

/**
 * A node of which little is known is believed to be as good as the best that is known, as far as it is not known: one
 * that was taken for slow would never be asked, and never show what it can do.
 */
export function believed(service: Service, shown: Shown): Service {
  const { loadSeconds, hasLoaded, promptSeconds, answerSeconds, confidence } = service;
  if (confidence >= 1 && hasLoaded) return service;
  const own = (seconds: number, best: number): number =>
    confidence * seconds + (1 - confidence) * Math.min(seconds, best);
  return {
    ...service,
    loadSeconds: hasLoaded ? loadSeconds : Math.min(loadSeconds, shown.loadSeconds),
    promptSeconds: own(promptSeconds, shown.promptSeconds),
    answerSeconds: own(answerSeconds, shown.answerSeconds),
  };
}

export function serviceOf(
  request: RouteRequest,
  node: NodeView,
  running: number,
  cachedBytes: number,
  params: RoutingParams,
): Service {
  const { key } = request.model;
  const slots = slotsFor(node, key, request.numCtx);
  const known = Number.isNaN(slots) ? 1 : slots;
  const atOnce = Math.min(known, running + 1);
  const sizeBytes = node.models.get(key)?.sizeBytes ?? params.defaultModelBytes;
  const { loadSeconds, promptSeconds, promptSecondsPerByte, answerSeconds, confidence } = predictService(
    node,
    request,
    sizeBytes,
    atOnce,
    params,
  );
  return {
    loadSeconds: Math.max(params.leastLoadSeconds, loadSeconds),
    hasLoaded: node.loadBytesPerSecond !== undefined,
    promptSeconds: Math.max(0, promptSeconds - cachedBytes * promptSecondsPerByte),
    answerSeconds,
    slots: known,
    queued: confidence < SEEN ? 0 : queuedFor(known, promptSeconds + answerSeconds, params),
    confidence,
  };
}

/** Most requests in a node's own queue, for each of its slots. */
const MOST_QUEUED = 4;

/** As many as end while news of the first travels here, and the next one back: none where requests take long. */
function queuedFor(slots: number, heldSeconds: number, params: RoutingParams): number {
  const perSlot = Math.min(MOST_QUEUED, params.handoverSeconds / Math.max(1e-6, heldSeconds));
  return slots < Number.POSITIVE_INFINITY ? Math.floor(slots * perSlot) : 0;
}

/** Seconds that a load of another model takes: as it was seen, else by its size. */
export function usualLoadSeconds(
  node: NodeView,
  key: ModelKey,
  sizeBytes: number,
  params: RoutingParams,
): number {
  const seen = node.figures.get(anyContextKey(key))?.loadMs;
  if (seen !== undefined && confidenceIn(seen) >= 0.5) return seen.value / 1000;
  const rate = node.loadBytesPerSecond ?? params.defaultLoadBytesPerSecond * weightOf(node);
  return params.loadStartSeconds + sizeBytes / Math.max(1, rate);
}

/** How long a request for the model usually holds its slot. */
export function usualHeldSeconds(node: NodeView, key: ModelKey, params: RoutingParams): number {
  const seen = node.figures.get(anyContextKey(key))?.heldMs;
  if (seen !== undefined && seen.value > 0) return seen.value / 1000;
  return params.defaultServiceSeconds / weightOf(node);
}

/** A weight that makes no sense counts as the usual one. */
function weightOf(node: NodeView): number {
  return node.weight > 0 ? node.weight : 1;
}
