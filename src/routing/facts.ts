import { stuckState } from '../fleet/stuck.ts';
import type { NodeView, ResidentModel } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import type { RoutingParams } from './params.ts';
import type { Inflight } from './types.ts';

/**
 * How the request would meet its model on a node. `none`: the operation needs no loaded model. `reload`: loaded with
 * another context, which Ollama unloads first. `loading`: earlier requests of ours made the node load it.
 */
export type ModelState = 'none' | 'warm' | 'reload' | 'loading' | 'cold';

/** Everything that the cost terms read of one node: looked up once, so that the terms are arithmetic only. */
export interface Facts {
  readonly node: NodeView;
  readonly state: ModelState;
  /** Running requests: all of the node's, and those for this model. */
  readonly onNode: number;
  readonly onModel: number;
  /** Size of the model on disk, bytes; 0 where nothing must be loaded. */
  readonly sizeBytes: number;
  /** How long a request for the model holds a slot. */
  readonly serviceSeconds: number;
  /** Share of speed, always above 0. */
  readonly weight: number;
  readonly isStuck: boolean;
  readonly isHalfOpen: boolean;
}

export function factsOf(
  request: RouteRequest,
  node: NodeView,
  inflight: Inflight,
  params: RoutingParams,
  now: number,
): Facts {
  const { key } = request.model;
  const onNode = inflight.onNode(node.id);
  const onModel = onNode === 0 ? 0 : inflight.onModel(node.id, key);
  const stuck = stuckState(node.stuckModels, key, now);
  const serviceMs = node.serviceMs.get(key);
  const state = modelState(request, node.warm.get(key), onModel);
  const isLoaded = state === 'warm' || state === 'none';
  return {
    node,
    state,
    onNode,
    onModel,
    sizeBytes: isLoaded ? 0 : (node.models.get(key)?.sizeBytes ?? params.defaultModelBytes),
    serviceSeconds: serviceMs === undefined ? serviceSeconds(request, params) : serviceMs / 1000,
    weight: weightOf(node),
    isStuck: stuck === 'stuck',
    isHalfOpen: stuck === 'half_open',
  };
}

/** A weight that makes no sense counts as the usual one. */
export function weightOf(node: NodeView): number {
  return node.weight > 0 ? node.weight : 1;
}

function modelState(request: RouteRequest, resident: ResidentModel | undefined, onModel: number): ModelState {
  if (request.endpoint.operation === 'show') return 'none';
  if (resident === undefined) return onModel > 0 ? 'loading' : 'cold';
  const { numCtx } = request;
  const loadedCtx = resident.contextLength;
  const isOther = numCtx !== undefined && loadedCtx !== undefined && numCtx !== loadedCtx;
  return isOther ? 'reload' : 'warm';
}

function serviceSeconds(request: RouteRequest, params: RoutingParams): number {
  return request.endpoint.operation === 'embed' ? params.defaultEmbedSeconds : params.defaultServiceSeconds;
}
