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
  /** Reading what of the prompt is not cached. */
  readonly promptSeconds: number;
  readonly answerSeconds: number;
  /** Requests that it runs at once for the model, at least 1. */
  readonly slots: number;
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
  const { loadSeconds, promptSeconds, promptSecondsPerByte, answerSeconds } = predictService(
    node,
    request,
    sizeBytes,
    atOnce,
    params,
  );
  return {
    loadSeconds: Math.max(params.leastLoadSeconds, loadSeconds),
    promptSeconds: Math.max(0, promptSeconds - cachedBytes * promptSecondsPerByte),
    answerSeconds,
    slots: known,
  };
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
  const ms = node.serviceMs.get(key);
  return ms !== undefined && ms > 0 ? ms / 1000 : params.defaultServiceSeconds / weightOf(node);
}

/** A weight that makes no sense counts as the usual one. */
function weightOf(node: NodeView): number {
  return node.weight > 0 ? node.weight : 1;
}
