import type { FailureReason, ModelKey, NodeId } from '../fleet/types.ts';
import type { ErrorCode, RouterError } from '../request/errors.ts';
import type { ApiFamily, BodyEdit, Operation, RouteRequest } from '../request/types.ts';
import type { Ranking } from '../routing/types.ts';
import type { Caller, RequestClass, WaitReason } from '../waiting/types.ts';

/** What Envoy is told for one routed request. */
export interface RouteDecision {
  readonly id: string;
  /** Addresses in rank order, `ip:port`, never empty. */
  readonly addresses: readonly string[];
  /** Time the first byte may take on each attempt, ms. */
  readonly perTryTimeoutMs: number;
  /** 404 from the first node is worth another try: a further node lists the model. */
  readonly retryNotFound: boolean;
  /** What must be changed in the body before it goes on; empty: it passes as it is. */
  readonly edits: readonly BodyEdit[];
}

/** One decision as it is kept in the ring buffer and shown by `status --json` and `explain`. Nothing of the prompt is in it. */
export interface DecisionRecord {
  readonly id: string;
  /** As Envoy names the request; undefined where nobody told. */
  readonly requestId: string | undefined;
  /** ISO 8601 wall clock. */
  readonly at: string;
  readonly path: string;
  readonly family: ApiFamily;
  readonly operation: Operation;
  /** The model asked for; an alias or a fallback makes it another than `model`. */
  readonly asked: ModelKey;
  /** The model that the ranking is about. */
  readonly model: ModelKey;
  readonly bodyBytes: number;
  readonly features: RequestFeatures;
  /** Undefined where nobody told. */
  readonly caller: { readonly id: string; readonly class: RequestClass } | undefined;
  /** In the line, and why it had to wait first; 0 where it did not. */
  readonly waitedMs: number;
  readonly waitedFor: WaitReason | undefined;
  /** What was changed in the body. */
  readonly edits: readonly BodyEdit[];
  /** What the client was told where no node got it; `ranking` then says which would have been tried, and why not. */
  readonly refusal: Refusal | undefined;
  readonly snapshotVersion: number;
  readonly ranking: Ranking;
  /** In the order in which they are known; empty while the first one runs. */
  readonly attempts: readonly DecisionAttempt[];
  /** Filled when the access log brings it. */
  readonly outcome: Outcome | undefined;
  /** Of the node that answered, from its decision on; undefined before the outcome is known, and where no byte came. */
  readonly seconds: PredictedAndReal | undefined;
}

/** What the client was told instead of an answer. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
}

/** What of a request decides where it goes and what it costs. */
export interface RequestFeatures {
  readonly promptBytes: number;
  readonly images: number;
  readonly wantsTools: boolean;
  readonly isEmpty: boolean;
  readonly unloads: boolean;
  readonly numCtx: number | undefined;
  readonly maxTokens: number | undefined;
  /** Beginnings of the prompt by which conversations are known again. */
  readonly prefixes: number;
}

export interface DecisionAttempt {
  readonly node: NodeId;
  readonly result: 'served' | FailureReason | OutcomeEnd;
}

/** Seconds from the decision on: to the first token and to the end of the answer. */
export interface PredictedAndReal {
  readonly predictedFirstToken: number;
  readonly predictedCompletion: number;
  readonly realFirstToken: number | undefined;
  readonly realCompletion: number;
}

/** One attempt that Envoy reports as failed, while the request may still go on (router upstream_log). */
export interface AttemptReport {
  readonly decisionId: string;
  /** `ip:port` that was tried. */
  readonly address: string;
  readonly reason: FailureReason;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;
}

/** How a request ended (access log). Requests that were never routed by us have no decision id. */
export interface Outcome {
  readonly decisionId: string | undefined;
  /** As Envoy names the request. */
  readonly requestId?: string | undefined;
  readonly path: string;
  readonly method: string;
  /** HTTP status; 0 where none was sent. */
  readonly status: number;
  /** Envoy's response_code_details. */
  readonly details: string;
  /** Envoy's response flags in their short form, e.g. `UF`, `URX`, `DC`. */
  readonly flags: readonly string[];
  /** `ip:port` of the node that served or was tried last; undefined where none was. */
  readonly address: string | undefined;
  readonly attempts: number;
  /** From the request's arrival; ms. */
  readonly firstByteMs: number | undefined;
  readonly totalMs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly usage: Usage;
  readonly end: OutcomeEnd;
}

/** How it ended for the client, one word; bounded, so that it can be a metric label. */
export type OutcomeEnd = 'complete' | 'client_gone' | 'truncated' | 'in_band_error' | 'failed' | 'refused';

/** What the Lua tap read from the end of the answer. Durations in ms. */
export interface Usage {
  readonly promptTokens: number | undefined;
  readonly completionTokens: number | undefined;
  readonly totalMs: number | undefined;
  readonly loadMs: number | undefined;
  readonly promptEvalMs: number | undefined;
  readonly evalMs: number | undefined;
  /** An error line inside a 200 answer, or an event stream that ended without its last event. */
  readonly sawError: boolean;
}

/** Who hears what became of a request; exactly one of the two is called, once, perhaps before `place` returns. */
export interface Placing {
  /** As the proxy names the request. */
  readonly requestId?: string | undefined;
  placed(decision: RouteDecision): void;
  /** `id`: by which the refusal is remembered. */
  refused(error: RouterError, id?: string): void;
}

/** A request from its arrival to its end. */
export interface PlacedRequest {
  /** It waits in the line. */
  readonly isWaiting: boolean;
  /** The client's stream ended, for whatever reason: it leaves the line, or its lease ends. Idempotent. */
  finish(): void;
}

/** The use cases that the ext_proc processor and the access log call. */
export interface RequestRouter {
  /**
   * Ranks the nodes. Where the best one can begin now: takes a lease there and records the decision, at once. Otherwise the
   * request waits in the line until it is its turn or its time is up. `heldBytes`: memory that it holds while it waits, here or in Envoy.
   */
  place(request: RouteRequest, caller: Caller, heldBytes: number, placing: Placing): PlacedRequest;
  /** A request was refused before it could be ranked. */
  refused(code: ErrorCode): void;
}

export interface OutcomeRecorder {
  attemptFailed(report: AttemptReport): void;
  requestEnded(outcome: Outcome): void;
}

/** Of one process, for requests whose answers it sees itself. */
export interface AnswerRecorder extends OutcomeRecorder {
  /** The answer comes from this address: the request's lease is there from now on. */
  servedBy(decisionId: string, address: string): void;
}

/** The endpoints that Envoy should know now. */
export interface EndpointSet {
  readonly endpoints: readonly EnvoyEndpoint[];
}

export interface EnvoyEndpoint {
  readonly node: NodeId;
  /** `ip:port`, IPv6 in brackets. */
  readonly address: string;
  /** Sent as Host, and to https nodes as server name: host of the node's URL, of http nodes with the port where it is not 80. */
  readonly hostname: string;
  readonly token: string | undefined;
  /** Name of the transport socket: `plain`, `tls` or `tls-<hash of the CA path>`. */
  readonly transport: string;
  /** Unhealthy endpoints are reachable by name only; fail-open traffic avoids them. */
  readonly isHealthy: boolean;
  /** Draining endpoints take no new requests in fail-open mode either. */
  readonly isDraining: boolean;
}
