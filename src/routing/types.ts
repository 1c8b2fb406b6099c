import type { FleetSnapshot, ModelKey, NodeId } from '../fleet/types.ts';
import type { PromptPrefix } from '../request/types.ts';
import type { RoutingParams } from './params.ts';
import type { Random } from './random.ts';

/** Requests that this and all other replicas have running now. */
export interface Inflight {
  onNode(node: NodeId): number;
  onModel(node: NodeId, model: ModelKey): number;
  /** Nodes where `onModel` is above 0; some others, and the same twice, may be among them. */
  nodesRunning(model: ModelKey): Iterable<NodeId>;
  /**
   * When this replica's requests on the node and model are expected to end, monotonic ms, soonest first; at most 64.
   * Those of other replicas are counted by `onModel` only.
   */
  expectedEnds(node: NodeId, model: ModelKey): readonly number[];
}

/** How often models are asked for. */
export interface Demand {
  /** Requests per second for the model, smoothed over minutes, over all replicas that this one knows of. */
  perSecond(model: ModelKey, now: number): number;
}

/** Which node has read which prompts lately. */
export interface PromptMemory {
  /** Bytes of `prefixes` that the node's prompt cache for the model most likely still holds; 0: none. */
  cachedBytes(node: NodeId, model: ModelKey, prefixes: readonly PromptPrefix[], now: number): number;
}

/** Requests that wait for a slot. */
export interface Waiting {
  /** Requests for the model that are due before the one at hand. */
  ahead(model: ModelKey): number;
}

/** Everything that a decision looks at beside the request. A decision is a pure function of these. */
export interface Situation {
  readonly snapshot: FleetSnapshot;
  readonly inflight: Inflight;
  readonly demand: Demand;
  readonly prompts: PromptMemory;
  readonly waiting: Waiting;
  readonly params: RoutingParams;
  readonly random: Random;
  /** Monotonic ms. */
  readonly now: number;
}

/** What a request most likely costs on one node: seconds, term by term. Infinity never appears. */
export interface CostTerms {
  /** The network. */
  readonly roundTrip: number;
  /** Waiting for one of the node's slots, the line before it included. */
  readonly slotWait: number;
  /** Loading the model, or loading it again with another context; 0 where it is warm. Waits for other loads included. */
  readonly load: number;
  /** Reading the prompt, without what the node's cache holds of it. */
  readonly prompt: number;
  /** Writing the answer. It comes after the first token and counts by `answerShare` only. */
  readonly answer: number;
  /** What others lose: when the load evicts their model, and while they share the GPU. */
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
  /**
   * What it costs to choose this node, and the ranking's order: the sum of the terms, the answer by its share, a load less what
   * a further copy of the model is worth to those who come later.
   */
  readonly seconds: number;
  /** Expected seconds to the first token: round trip, slot wait, load, prompt. */
  readonly firstTokenSeconds: number;
  /** Expected seconds to the end of the answer. */
  readonly completionSeconds: number;
  /** Seconds that the request will most likely hold its slot: load, prompt and answer. */
  readonly heldSeconds: number;
  readonly terms: CostTerms;
  readonly reason: PickReason;
  readonly isWarm: boolean;
  /** The node can begin with the request now: a slot is free there, no other load is in the way. */
  readonly startsNow: boolean;
  /** Bytes of the prompt that its cache is believed to hold. */
  readonly cachedBytes: number;
}

/** Why a node was left out. */
export type RejectReason =
  | 'model_unknown'
  | 'down'
  | 'draining'
  | 'no_address'
  | 'stuck'
  | 'not_allowed' // the proxy allows other nodes only
  | 'list_full';

/** The ranked list that Envoy walks, best first, with what explains it. */
export interface Ranking {
  readonly nodes: readonly RankedNode[];
  readonly rejected: readonly { readonly id: NodeId; readonly reason: RejectReason }[];
}
