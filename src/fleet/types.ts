import type { PromptPrefix } from '../request/types.ts';
import type { FiguresByModel } from './figure-types.ts';

import type { ModelAbilities, ToldAbilities } from './model-abilities.ts';

export type { Estimate, FiguresByModel, ModelFigures } from './figure-types.ts';

/** A node's configured name; every part of Warmpath knows a node by it. Addresses may change, the id does not. */
export type NodeId = string;
/** Canonical model key, see `ModelName.key` in request/types.ts. */
export type ModelKey = string;

/** A node as its owner configured it. */
export interface NodeSpec {
  readonly id: NodeId;
  readonly url: NodeUrl;
  readonly token: string | undefined;
  /** Path of a PEM file with the CA that signed the node's certificate; undefined: the system's. */
  readonly tlsCaFile: string | undefined;
  /** Requests the node runs at once for one model (OLLAMA_NUM_PARALLEL); undefined: learnt, starting at 1. */
  readonly slots: number | undefined;
  /** Total VRAM in bytes; undefined: unknown. */
  readonly vramBytes: number | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Relative speed and preference, 1 is normal, 2 counts as twice as fast. */
  readonly weight: number;
  readonly drain: boolean;
  /** A Prometheus endpoint that knows this node's GPUs, such as a DCGM exporter; undefined: none is asked. */
  readonly gpuMetrics?: GpuMetricsSpec | undefined;
  /** Who a discovered node is wherever its address moves; undefined for configured nodes, which are their URL. */
  readonly identity?: string | undefined;
}

export interface GpuMetricsSpec {
  /** http or https URL of the exporter's text format. */
  readonly url: string;
  /** Only samples with these labels are this node's; empty: all are. */
  readonly match: Readonly<Record<string, string>>;
  readonly intervalMs: number;
}

export interface NodeUrl {
  readonly scheme: 'http' | 'https';
  /** DNS name or IP literal, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** A model in a node's /api/tags: on disk, perhaps not in memory. */
export interface ModelOnDisk extends ModelAbilities {
  readonly key: ModelKey;
  /** As the node writes it. */
  readonly name: string;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly modifiedAt: string;
  readonly details: ModelDetails;
}

/** Ollama's own `details` object, with the known fields only. */
export interface ModelDetails {
  readonly parent_model: string;
  readonly format: string;
  readonly family: string;
  readonly families: readonly string[] | null;
  readonly parameter_size: string;
  readonly quantization_level: string;
}

/** A model in a node's /api/ps: in memory now. */
export interface ResidentModel {
  readonly key: ModelKey;
  readonly name: string;
  readonly digest: string;
  /** Weights, KV cache and graph together, in bytes. */
  readonly sizeBytes: number;
  /** The part of `sizeBytes` on GPUs. */
  readonly vramBytes: number;
  /** Per slot; undefined where the node does not say. */
  readonly contextLength: number | undefined;
  /** ISO 8601 as the node wrote it; lies in the past while a long request runs. */
  readonly expiresAt: string;
  readonly details: ModelDetails;
}

export interface Gpu {
  readonly index: number;
  readonly name: string;
  readonly vendor: 'nvidia' | 'amd' | 'apple' | 'intel' | 'other';
  /** Bytes; undefined where the tool does not say, as everywhere here. */
  readonly vramTotalBytes: number | undefined;
  /** Taken by anybody, other programs included. */
  readonly vramUsedBytes: number | undefined;
  /** 0 to 1. */
  readonly utilization: number | undefined;
  readonly temperatureC: number | undefined;
  readonly powerW: number | undefined;
  /** It runs slower than it could, for heat or power. */
  readonly isThrottled: boolean | undefined;
}

export interface HostFacts {
  readonly memoryTotalBytes: number | undefined;
  readonly memoryAvailableBytes: number | undefined;
  /** Load average of one minute. */
  readonly load1: number | undefined;
  readonly cpus: number | undefined;
  /** Free space where the models are stored. */
  readonly diskFreeBytes: number | undefined;
}

/** What Ollama was told by its environment. */
export interface OllamaSettings {
  readonly parallel: number | undefined;
  readonly maxLoadedModels: number | undefined;
  readonly maxQueue: number | undefined;
}

/** A node's GPUs as somebody who can see them tells. */
export interface GpuReport {
  readonly source: 'agent' | 'prometheus';
  /** Older than this, ms, its figures are no longer used: whoever told them has fallen silent. */
  readonly validForMs: number;
  readonly gpus: readonly Gpu[];
  /** GPUs share the host's memory (Apple silicon, APUs): their total is what they may take of it. */
  readonly isUnifiedMemory: boolean;
  readonly host: HostFacts | undefined;
  readonly ollama: OllamaSettings | undefined;
}

/** Where the total VRAM of a node is known from, best first. */
export type VramSource = 'agent' | 'prometheus' | 'configured' | 'learnt' | 'unknown';
/** Where the slots of a node are known from, best first. */
export type SlotsSource = 'configured' | 'agent' | 'learnt';

/** Who wants a node drained; each cause comes and goes by itself, and the node drains while any is there. */
export type DrainCause = 'configured' | 'operator' | 'maintenance' | 'owner_hours';

export interface Drain {
  /** ISO 8601. */
  readonly since: string;
  /** For people: who, why. */
  readonly note: string;
  /** ISO 8601: the node is removed from the fleet then, with whatever still runs; undefined: it stays, drained. */
  readonly removeAt: string | undefined;
}

/** ready: full member. suspect: may be used, ranks last. down: used only when nothing better exists. */
export type NodeStatus = 'unknown' | 'ready' | 'suspect' | 'down' | 'draining';

/** Why a poll or an attempt failed; bounded, so that it can be a metric label. */
export type FailureReason = (typeof FAILURE_REASONS)[number];
export const FAILURE_REASONS = [
  'refused', // nobody listens, or the network says so
  'connect_timeout',
  'timeout', // connected, no (first) byte in time
  'reset', // cut before the answer began
  'truncated', // cut after the answer began
  'bad_answer', // not what Ollama answers
  'server_error', // 500, 502, 504
  'busy', // 429, 503
  'model_missing', // 404 for a model that its tag list names
  'in_band_error', // 200, then an error line
  'dns',
  'tls',
  'unexplained', // a proxy went on to the next node and does not say why
] as const;

/** Everything that can be learnt about a node, from polls and from live traffic. Times are monotonic ms. */
export type Observation =
  | { readonly kind: 'address'; readonly address: string; readonly hosts: readonly string[] }
  | {
      readonly kind: 'resident';
      readonly models: readonly ResidentModel[];
      readonly rttMs: number;
      /** Unix seconds by the node's own clock when it answered, where it tells: only then are evictions learnt from. */
      readonly nodeTime?: number | undefined;
    }
  | { readonly kind: 'tags'; readonly models: readonly ModelOnDisk[]; readonly rttMs: number }
  | { readonly kind: 'version'; readonly version: string }
  | ({ readonly kind: 'capabilities'; readonly digest: string } & ToldAbilities)
  | { readonly kind: 'gpu'; readonly report: GpuReport }
  /** Replaces all drains of the node; `configured` is not among them. */
  | { readonly kind: 'drains'; readonly drains: ReadonlyMap<DrainCause, Drain> }
  | { readonly kind: 'poll_failed'; readonly reason: FailureReason; readonly detail: string }
  | {
      readonly kind: 'attempt_failed';
      readonly model: ModelKey;
      readonly reason: FailureReason;
      /** Seconds the node asked us to wait (Retry-After), if it did. */
      readonly retryAfterMs: number | undefined;
      /** Of the request's body, where the failure may be its fault: see QueryGuard. */
      readonly fingerprint?: string | undefined;
    }
  | { readonly kind: 'attempt_served'; readonly model: ModelKey; readonly service: ServiceTimes };

/** How one served request went. Durations in ms; undefined where the API called does not tell. */
export interface ServiceTimes {
  /** False: nothing was read or written, the model was only loaded, or described. */
  readonly isWork?: boolean | undefined;
  /** What the request asked for; undefined: the node's default. */
  readonly numCtx?: number | undefined;
  readonly promptBytes?: number | undefined;
  /** Bytes of the prompt that the node's cache was believed to hold. */
  readonly cachedBytes?: number | undefined;
  /** Earlier requests on the node and model that were still running when this answer began: it did not wait for them. */
  readonly servedBeside?: number | undefined;
  /** From the first end among those earlier requests to its own, ms; undefined: none had ended, or that is not known of all. */
  readonly afterFirstEndMs?: number | undefined;
  /** Requests of ours for other models on the node when this one was sent: a load then may have waited for them. */
  readonly besideOthers?: number | undefined;
  /** Unix ms at which the request ended. */
  readonly endedAt?: number | undefined;
  /** Hashes of the prompt's beginnings, which the node's cache now holds. */
  readonly prefixes?: readonly PromptPrefix[] | undefined;
  /** Requests of ours on the node and model when this one was sent, itself included. */
  readonly concurrency: number;
  readonly wasWarm: boolean;
  /** From when it was sent; undefined where the first byte comes with the whole answer. */
  readonly firstByteMs: number | undefined;
  readonly totalMs: number;
  readonly loadMs: number | undefined;
  readonly promptEvalMs: number | undefined;
  readonly evalMs: number | undefined;
  readonly promptTokens: number | undefined;
  readonly completionTokens: number | undefined;
}

/** All that is known of one node. Immutable: reducers answer a new one. */
export interface NodeRecord {
  readonly spec: NodeSpec;
  /** `ip:port` (IPv6 in brackets) that Envoy connects to; undefined until resolved. */
  readonly address: string | undefined;
  readonly health: Health;
  readonly models: ReadonlyMap<ModelKey, ModelOnDisk>;
  readonly resident: ReadonlyMap<ModelKey, ResidentModel>;
  readonly version: string | undefined;
  /** Bytes that each model took in memory when it was last there, see `ResidentModel.sizeBytes`. */
  readonly loadedBytes?: LoadedBytes | undefined;
  /** Contexts that requests were sent with since the polls told the last ones. */
  readonly sentContexts?: SentContexts | undefined;
  /** When each poll last succeeded, monotonic ms. */
  readonly seenAt: { readonly resident?: number; readonly tags?: number; readonly version?: number };
  /** Smoothed round trip of polls; undefined before the first. */
  readonly rttMs: number | undefined;
  readonly learnt: Learnt;
  /** The last report of each source, with its time in monotonic ms. */
  readonly gpu: {
    readonly [Source in GpuReport['source']]?: { readonly report: GpuReport; readonly at: number };
  };
  /** Beside `spec.drain`. */
  readonly drains: ReadonlyMap<DrainCause, Drain>;
}

export interface Health {
  readonly status: Exclude<NodeStatus, 'draining'>;
  /** Monotonic ms of the last change of status. */
  readonly since: number;
  /** Failures in a row. */
  readonly strikes: number;
  /** Times the node went down lately; each doubles how long it must behave before it is ready again. */
  readonly flaps: number;
  /** First success since the last failure, undefined while failing. */
  readonly goodSince: number | undefined;
  /** Smoothed share of live attempts that failed, 0 to 1. */
  readonly failureRate: number;
  /** Until then the node said it is busy; monotonic ms. */
  readonly busyUntil: number;
  /** Last request served, monotonic ms: live traffic outranks polls. */
  readonly servedAt: number | undefined;
  readonly lastFailure:
    | {
        readonly reason: FailureReason;
        readonly source: 'poll' | 'live';
        readonly detail: string;
        readonly at: number;
      }
    | undefined;
  /** Models that failed in a row: whose first token did not come in time (a stuck runner), or whose answers broke. */
  readonly stuckModels: ReadonlyMap<ModelKey, StuckModel>;
}

export interface StuckModel {
  /** Two are too many. */
  readonly strikes: number;
  /** Monotonic ms: left alone until then, then tried by one request at a time until `fineAt`. */
  readonly until: number;
  readonly fineAt?: number;
}

/** By model. */
export type LoadedBytes = ReadonlyMap<ModelKey, number>;
/** `num_ctx` of the last request for each model, and when it was sent, monotonic ms. */
export type SentContexts = ReadonlyMap<ModelKey, { readonly numCtx: number; readonly at: number }>;

/** Behaviour learnt from traffic. */
export interface Learnt {
  /** By `figuresKey` of model and context. */
  readonly figures: FiguresByModel;
  /** From then on, monotonic ms, one request more than the slots may be tried out, to see whether there is one more. */
  readonly probeSlotsAt: number;
  /** Trials that failed in a row; each doubles the pause before the next. */
  readonly failedProbes: number;
  /** Parallel slots seen at work, never below 1. */
  readonly slots: number;
  readonly slotDoubts?: { readonly beyond: number; readonly within: number } | undefined;
  /** Bytes of weights loaded per second; undefined before the first load seen. */
  readonly loadBytesPerSecond: number | undefined;
  /** Largest VRAM use ever seen, bytes: what certainly fits. */
  readonly maxVramSeenBytes: number;
  /** What did not fit: loading it drove another model out. Undefined before that was seen. */
  readonly vramCeilingBytes?: number | undefined;
  /** What was in memory just before a model was driven out; a load that follows at once tells why. */
  readonly vramLeft?: { readonly bytes: number; readonly gone: ModelKey; readonly at: number } | undefined;
}

/** What the hot path reads: rebuilt when the fleet changes, never changed in place. */
export interface FleetSnapshot {
  /** Grows with every rebuild. */
  readonly version: number;
  /** Monotonic ms of the rebuild. */
  readonly at: number;
  readonly nodes: readonly NodeView[];
  readonly byId: ReadonlyMap<NodeId, NodeView>;
  /** Nodes whose tag list has the model (its memory, before the first tag list), whatever their status. */
  readonly byModel: ModelNodes;
}

/** Nodes by the model that they know. */
export interface ModelNodes extends ReadonlyMap<ModelKey, readonly NodeView[]> {
  /** No node has a larger weight. */
  readonly heaviest: number;
  /** Places of the nodes that have never shown a tag list. */
  readonly unseen: Uint32Array;
  /** What `get` answers, without making a list. */
  candidates(key: ModelKey): Candidates | undefined;
}

/** The nodes that know one model, as places in `nodes`, in no order. Nobody may change them. */
export interface Candidates {
  readonly nodes: readonly NodeView[];
  readonly knowing: Uint32Array;
  /** Those of `knowing` that have it in memory. */
  readonly warm: Uint32Array;
}

/** One node as routing sees it: derived figures, no history. */
export interface NodeView {
  readonly id: NodeId;
  readonly address: string | undefined;
  readonly status: NodeStatus;
  /** 0 to 1: below 1 while a recovered node is eased back in (slow start). */
  readonly admission: number;
  readonly weight: number;
  readonly slots: number;
  readonly slotsSource: SlotsSource;
  readonly rttMs: number;
  readonly failureRate: number;
  readonly busyUntil: number;
  readonly stuckModels: ReadonlyMap<ModelKey, StuckModel>;
  readonly models: ReadonlyMap<ModelKey, ModelOnDisk>;
  /** Resident models by every key that reaches them: aliases with the same digest included. */
  readonly warm: ReadonlyMap<ModelKey, ResidentModel>;
  readonly version: string | undefined;
  /** Of all GPUs together. */
  readonly vramTotalBytes: number | undefined;
  readonly vramSource: VramSource;
  /** Monotonic ms of the report that `vramTotalBytes` comes from; undefined where it is configured or learnt. */
  readonly vramAt: number | undefined;
  /** A fresh report says that one of its GPUs is slowed down, for heat or power. */
  readonly isThrottled: boolean;
  /** The best fresh report of its GPUs, and its time in monotonic ms; undefined: nobody tells. */
  readonly gpu?: { readonly report: GpuReport; readonly at: number } | undefined;
  /** Of the resident models; at least what a fresh GPU report says that all programs take. */
  readonly vramUsedBytes: number;
  readonly maxVramSeenBytes: number;
  /** Bytes that each model took in memory here when it was last loaded. */
  readonly loadedBytes?: LoadedBytes | undefined;
  readonly sentContexts?: SentContexts | undefined;
  readonly loadBytesPerSecond: number | undefined;
  readonly figures: FiguresByModel;
  readonly probeSlotsAt: number;
  /** Monotonic ms of about the last request that it served; undefined: none yet. */
  readonly servedAt: number | undefined;
  /** Monotonic ms of the last good /api/ps; undefined before the first. */
  readonly residentAt: number | undefined;
  /** Monotonic ms of the last good /api/tags; undefined: what the node has on disk was never known. */
  readonly tagsAt: number | undefined;
}
