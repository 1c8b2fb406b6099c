import type { NodeId, NodeView } from '../../fleet/types.ts';
import type { RouteRequest } from '../../request/types.ts';
import type { Situation } from '../types.ts';
import type { RivalName } from './names.ts';

/** What a rival may look at: the same polls and counts as we have, and its own queue. */
export interface RivalSituation extends Situation {
  /** Nodes that may take the request: known to have the model, up, not draining; never empty. */
  readonly fit: readonly NodeView[];
  /** Requests that the rival itself holds back for the node (and model). Live traffic: 0. */
  queued(node: NodeId, model?: string): number;
  /** Smoothed answer time of the node, ms, as seen from outside; undefined before its first answer. */
  responseMs(node: NodeId): number | undefined;
}

/** Somebody else's policy. May keep a state of its own; deterministic but for `situation.random`. */
export interface RivalPolicy {
  readonly name: RivalName;
  /** Where its requests wait when a node is busy: at the node itself, in a queue for each node and model, or in one line for all. */
  readonly queue: 'node' | 'per_node_model' | 'central';
  /** It takes `options.num_ctx` out of requests whose context is no larger than that of the model in memory, which then stays. */
  readonly stripsContext?: boolean;
  /**
   * In a queue for each node and model: how many requests it hands to the node at once, and how its rebalancer moves waiting
   * ones every `everyMs` from queues of at least `from` to nodes that have the model in memory and fewer than that.
   */
  readonly rebalance?: { readonly everyMs: number; readonly from: number; readonly most: number };
  /** The node that this request goes to, or is queued for. */
  choose(request: RouteRequest, situation: RivalSituation): NodeId;
  /**
   * Of a central line: which of the waiting requests a node with a free slot takes next, as an index; undefined: none of them.
   * `waitedMs` and `callers` (who asks) in the order of `waiting`, which is that of arrival. `fit` is not looked at.
   */
  next?(
    node: NodeView,
    waiting: readonly RouteRequest[],
    waitedMs: readonly number[],
    situation: RivalSituation,
    callers: readonly string[],
  ): number | undefined;
}
