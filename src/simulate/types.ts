import type { Clock, Random } from '../app/ports.ts';
import type { FailureReason, ModelKey, ModelOnDisk, NodeId, ResidentModel } from '../fleet/types.ts';
import type { BodyEdit, RouteRequest } from '../request/types.ts';
import type { Caller } from '../waiting/types.ts';
import type { OllamaNode } from './node/ollama-node.ts';

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
  /** Whether routing is told `parallel` too; by default it must find out. */
  readonly tellsSlots?: boolean;
  /** What a load takes beside reading the weights (process start, graph), ms; 700 by default. */
  readonly loadStartMs?: number;
  /** OLLAMA_MAX_QUEUE: requests that may wait for a load; 512 by default. */
  readonly maxQueue?: number;
  /** OLLAMA_KEEP_ALIVE; 5 minutes by default. */
  readonly keepAliveMs?: number;
  /** What a further request on the same model takes from each: n together run at 1 / (1 + batchCost * (n - 1)); 0.25 by default. */
  readonly batchCost?: number;
  /** The same for each further model at work on the node: 1 by default (they take turns), 0: they do not disturb each other. */
  readonly contention?: number;
}

export interface SimModelSpec {
  readonly key: ModelKey;
  /** On disk. */
  readonly sizeBytes: number;
  /** KV cache per token of context and slot. */
  readonly kvBytesPerToken: number;
  /** Context where a request asks for none. */
  readonly defaultContext: number;
  /** What it was trained for: larger contexts are cut to it. Undefined: none is too large. */
  readonly maxContext?: number;
}

/** One request of a workload: what routing sees, and what only the node will find out. */
export interface SimRequest {
  /** Its place in the workload. */
  readonly id: number;
  /** Virtual ms; of a request that `follows` another: not before. */
  readonly arrivesAt: number;
  /** A person reads the answer first: it arrives so long after that request of the workload (an earlier one) ended. */
  readonly follows?: { readonly id: number; readonly thinkMs: number } | undefined;
  readonly request: RouteRequest;
  readonly caller: Caller;
  readonly promptTokens: number;
  readonly answerTokens: number;
  /** Conversation that it belongs to; its earlier turns may be in a node's prompt cache. */
  readonly session: number | undefined;
  /** Tokens of the prompt that the session's turn before already held. */
  readonly sharedTokens: number;
  /** First tokens that it has in common with all prompts of the same id, in any session: a system prompt. */
  readonly prefix?: { readonly id: number; readonly tokens: number } | undefined;
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
  readonly arrivedAt: number;
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

/** Drives one policy against the simulated fleet. The engine calls it; it calls the host. Every request ends exactly once. */
export interface SimDriver {
  readonly name: string;
  arrive(request: SimRequest): void;
  /** The first byte has come: no other node may be tried from now on. */
  began(id: number, node: NodeId): void;
  /**
   * A node answered or failed. Where `attempt.canRetry` nobody has seen a byte: the driver must dispatch the request again
   * (now or later) or give it up; else the request is over.
   */
  ended(id: number, node: NodeId, attempt: SimAttempt): void;
  /** The client hung up before the end: the request is over. */
  left(id: number): void;
  /** A node joined or left the fleet, as an operator's change of the configuration would tell. */
  fleetChanged?(): void;
  /** Decisions made so far. */
  readonly decisions: number;
}

export interface SimAttempt {
  readonly end: 'served' | 'failed';
  readonly canRetry: boolean;
  /** Of a failed attempt. */
  readonly reason: FailureReason | undefined;
  readonly status: number;
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
  readonly clock: Clock;
  readonly random: Random;
  readonly scenario: Scenario;
  /** Members of the fleet now, whether they work or not. */
  members(): readonly SimNodeSpec[];
  /** Hands the request to the node, whose own FIFO it enters; with these changes of its body. */
  dispatch(id: number, node: NodeId, edits?: readonly BodyEdit[]): void;
  /** Takes a dispatched request back from its node (its time there is up): it may be dispatched again. */
  withdraw(id: number): void;
  /** The request is over: nobody took it, or all that were tried failed. */
  refuse(id: number, end: 'refused' | 'failed'): void;
  /** Asks the node as polls do; undefined: it does not answer. */
  poll(node: NodeId): SimPoll | undefined;
  /** What no router can know: the node itself. For the clairvoyant bound alone; undefined: there is no such node. */
  truth(node: NodeId): OllamaNode | undefined;
}

/** What a node answers when it is asked. */
export interface SimPoll {
  readonly resident: readonly ResidentModel[];
  readonly tags: readonly ModelOnDisk[];
  readonly rttMs: number;
}
