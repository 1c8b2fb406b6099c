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
  /** The node that this request goes to, or is queued for. */
  choose(request: RouteRequest, situation: RivalSituation): NodeId;
  /**
   * Of a central line: which of the waiting requests a node with a free slot takes next, as an index; undefined: none of them.
   * `waitedMs` in the order of `waiting`.
   */
  next?(
    node: NodeView,
    waiting: readonly RouteRequest[],
    waitedMs: readonly number[],
    situation: RivalSituation,
  ): number | undefined;
}
