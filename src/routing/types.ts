import type { ModelKey, NodeId } from '../fleet/types.ts';

/** Requests that this and all other replicas have running now. */
export interface Inflight {
  onNode(node: NodeId): number;
  onModel(node: NodeId, model: ModelKey): number;
  /** Nodes where `onModel` is above 0; some others, and the same twice, may be among them. */
  nodesRunning(model: ModelKey): Iterable<NodeId>;
}

/** Expected seconds until the first token on one node, term by term. Infinity never appears. */
export interface CostTerms {
  readonly roundTrip: number;
  /** Waiting for one of the node's slots. */
  readonly slotWait: number;
  /** Loading the model, 0 where it is warm. */
  readonly load: number;
  /** What others lose when the load evicts their model. */
  readonly eviction: number;
  /** How little the node can be trusted at present. */
  readonly trust: number;
}

/** Why the node stands where it does, in one word; bounded, so that it can be a metric label. */
export type PickReason =
  | 'warm_idle'
  | 'warm_busy'
  | 'loading' // joins a load that earlier requests of ours began
  | 'loads_beside' // loads into free memory
  | 'loads_evicting' // loads, and another model must go
  | 'loads_unknown' // loads; whether it fits is not known
  | 'any' // the operation needs no loaded model
  | 'last_resort'; // no healthy node has the model: the last known ones are tried

export interface RankedNode {
  readonly id: NodeId;
  readonly address: string;
  readonly seconds: number;
  readonly terms: CostTerms;
  readonly reason: PickReason;
  readonly isWarm: boolean;
}

/** Why a node was left out. */
export type RejectReason = 'model_unknown' | 'down' | 'draining' | 'no_address' | 'stuck' | 'list_full';

/** The ranked list that Envoy walks, best first, with what explains it. */
export interface Ranking {
  readonly nodes: readonly RankedNode[];
  readonly rejected: readonly { readonly id: NodeId; readonly reason: RejectReason }[];
}
