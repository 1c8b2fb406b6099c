import { stuckState } from '../fleet/stuck.ts';
import type { ModelKey, NodeView } from '../fleet/types.ts';
import type { Question } from './question.ts';
import { contextOnNode } from './rewrites.ts';
import { type Service, serviceOf } from './service.ts';
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
  /** Other models in memory that run requests: they share the GPU. */
  readonly busyModels: number;
  /** Requests for models that are not in memory: the node loads them, or will. */
  readonly onOtherLoads: number;
  /** Requests that may be on the model at once: its slots, a few more where they are short; fewer while the node is eased back in. */
  readonly admitted: number;
  readonly service: Service;
  readonly cachedBytes: number;
  readonly isStuck: boolean;
  readonly isHalfOpen: boolean;
}

const NO_OTHERS = { busyModels: 0, onOtherLoads: 0 };

export function factsOf(question: Question, node: NodeView): Facts {
  const { request, inflight, params, prompts, now } = question;
  const { key } = request.model;
  const onNode = inflight.onNode(node.id);
  const onModel = onNode === 0 ? 0 : inflight.onModel(node.id, key);
  const stuck = node.stuckModels.size === 0 ? 'fine' : stuckState(node.stuckModels, key, now);
  const state = modelState(question, node, onModel);
  const isRead = state === 'warm' && request.prefixes.length > 0;
  const held = isRead ? prompts.cachedBytes(node.id, key, request.prefixes, now) : 0;
  const cachedBytes = held > 0 ? Math.min(held, request.promptBytes) : 0;
  const service = serviceOf(request, node, onModel, cachedBytes, params);
  return {
    node,
    state,
    onNode,
    onModel,
    ...(onNode > onModel ? othersOn(node, key, onNode - onModel, inflight) : NO_OTHERS),
    admitted: admittedOn(node, service),
    service,
    cachedBytes,
    isStuck: stuck === 'stuck',
    isHalfOpen: stuck === 'half_open',
  };
}

/** A node that is being eased back in gets nothing into its own queue. */
function admittedOn({ admission }: NodeView, { slots, queued }: Service): number {
  return Math.max(1, Math.floor(admission < 1 ? slots * admission : slots + queued));
}

/** Slots that are free for the request right now; 0 or less: none. */
export function freeSlots({ node, admitted, onModel, onNode }: Facts): number {
  return admitted - (node.admission < 1 ? Math.max(onModel, onNode) : onModel);
}

function modelState({ request, params }: Question, node: NodeView, onModel: number): ModelState {
  if (request.endpoint.operation === 'show') return 'none';
  if (!node.warm.has(request.model.key)) return onModel > 0 ? 'loading' : 'cold';
  return contextOnNode(request, request.model, node, params.rewrites).reloads ? 'reload' : 'warm';
}

/** Descriptions (model '') need nothing loaded; all else that is not for a model in memory is for one to come. */
function othersOn(
  node: NodeView,
  key: ModelKey,
  others: number,
  inflight: Inflight,
): Pick<Facts, 'busyModels' | 'onOtherLoads'> {
  let left = others - inflight.onModel(node.id, '');
  let busyModels = 0;
  for (const warm of node.warm.keys()) {
    if (left <= 0) break;
    const running = warm === key ? 0 : inflight.onModel(node.id, warm);
    left -= running;
    if (running > 0) busyModels += 1;
  }
  return { busyModels, onOtherLoads: Math.max(0, left) };
}
