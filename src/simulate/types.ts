import type { ModelKey, NodeId } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import type { Caller } from '../waiting/types.ts';

/** A node of the simulated fleet: what a real one would show, and what it hides. Rates are of the model at hand on an idle node. */
export interface SimNodeSpec {
  readonly id: NodeId;
  /** For models that keep wholly in it; the rest of a larger model is worked off on the CPU. */
  readonly vramBytes: number;
  /** OLLAMA_NUM_PARALLEL: hidden from routing, as it is in life. */
  readonly parallel: number;
  /** OLLAMA_MAX_LOADED_MODELS. */
  readonly maxLoadedModels: number;
  /** Bytes of weights read per second by a load. */
  readonly loadBytesPerSecond: number;
  /** Tokens per second of a model of one billion parameters at 4 bits (about 0.6 GiB); others by their size. */
  readonly promptTokensPerSecond: number;
  readonly answerTokensPerSecond: number;
  readonly rttMs: number;
  readonly models: readonly ModelKey[];
  /** Whether routing is told the VRAM (by an agent or the configuration). */
  readonly tellsVram: boolean;
}

export interface SimModelSpec {
  readonly key: ModelKey;
  /** On disk. */
  readonly sizeBytes: number;
  /** KV cache per token of context and slot. */
  readonly kvBytesPerToken: number;
  /** Context where a request asks for none. */
  readonly defaultContext: number;
}

/** One request of a workload: what routing sees, and what only the node will find out. */
export interface SimRequest {
  /** Its place in the workload. */
  readonly id: number;
  /** Virtual ms. */
  readonly arrivesAt: number;
  readonly request: RouteRequest;
  readonly caller: Caller;
  readonly promptTokens: number;
  readonly answerTokens: number;
  /** Conversation that it belongs to; its earlier turns may be in a node's prompt cache. */
  readonly session: number | undefined;
  /** Tokens of the prompt that the session's turn before already held. */
  readonly sharedTokens: number;
  /** The client hangs up after so many ms; undefined: never. */
  readonly patienceMs: number | undefined;
}

/** What befalls nodes while a workload runs. Virtual ms. */
export type SimEvent =
  | { readonly kind: 'down' | 'up' | 'leave' | 'join'; readonly at: number; readonly node: NodeId }
  /** From then on this share of its requests is answered 500 at once. */
  | { readonly kind: 'fails'; readonly at: number; readonly node: NodeId; readonly share: number };

export interface Scenario {
  readonly name: string;
  /** One sentence for people. */
  readonly about: string;
  readonly nodes: readonly SimNodeSpec[];
  readonly models: readonly SimModelSpec[];
  readonly requests: readonly SimRequest[];
  readonly events: readonly SimEvent[];
}

/** How one request went; virtual ms. */
export interface SimOutcome {
  readonly id: number;
  readonly node: NodeId | undefined;
  /** Where it was dispatched; undefined: it never was. */
  readonly startedAt: number | undefined;
  readonly firstTokenAt: number | undefined;
  readonly endedAt: number;
  /** `refused`: by routing (deadline, full line, no node). `failed`: by the node, all attempts. `left`: the client hung up. */
  readonly end: 'served' | 'refused' | 'failed' | 'left';
  readonly attempts: number;
  /** It made a node load its model. */
  readonly loaded: boolean;
}

export interface SimResult {
  readonly policy: string;
  readonly scenario: string;
  readonly outcomes: readonly SimOutcome[];
  /** Loads of all nodes, first ones included; and those of a model that this node had had in memory before. */
  readonly loads: number;
  readonly reloads: number;
  /** Ms of slots that stood idle at a node with the model warm while a request for it waited elsewhere. */
  readonly wasteMs: number;
  readonly decisions: number;
}

/** Drives one policy against the simulated fleet. The engine calls it; it calls `dispatch`. */
export interface SimDriver {
  readonly name: string;
  arrive(request: SimRequest): void;
  /** A node answered, failed, or was left by its client; `retry`: nobody has seen a byte, so another node may be tried. */
  ended(id: number, node: NodeId, result: SimAttempt): void;
  /** The client hung up before or after dispatch. */
  left(id: number): void;
}

export interface SimAttempt {
  readonly end: 'served' | 'failed' | 'left';
  readonly firstTokenAt: number | undefined;
  /** As Ollama reports them, ms. */
  readonly totalMs: number;
  readonly loadMs: number;
  readonly promptEvalMs: number;
  readonly evalMs: number;
  readonly promptTokens: number;
  readonly answerTokens: number;
}

/** What a driver may do and see. Truth about nodes is seen by polls only, except by the clairvoyant bound. */
export interface SimHost {
  now(): number;
  after(ms: number, fn: () => void): () => void;
  /** Hands the request to the node, whose own FIFO it enters. */
  dispatch(id: number, node: NodeId): void;
  refuse(id: number): void;
}
