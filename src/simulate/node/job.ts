import type { FailureReason } from '../../fleet/types.ts';
import type { SimModelSpec } from '../types.ts';
import type { SimRunner } from './runner.ts';

/** What one attempt asks of a node. */
export interface JobOrder {
  readonly model: SimModelSpec;
  /** Undefined: the model's default. */
  readonly numCtx: number | undefined;
  /** Infinity: for ever; undefined: what the model was loaded with, or the node's default. */
  readonly keepAliveMs: number | undefined;
  readonly promptTokens: number;
  readonly answerTokens: number;
  readonly session: number | undefined;
  readonly sharedTokens: number;
  readonly prefix: { readonly id: number; readonly tokens: number } | undefined;
  /** It only loads the model, or unloads it. */
  readonly isEmpty: boolean;
}

/** Who hears how it goes. Exactly one of `served` and `failed` is called, unless the client leaves before. */
export interface JobListener {
  /** A slot is its own now. */
  started(job: Job): void;
  /** The prompt is read: the first token is there. */
  firstToken(job: Job): void;
  served(job: Job): void;
  failed(job: Job, reason: FailureReason, status: number): void;
}

export type JobState = 'load' | 'slot' | 'prompt' | 'answer' | 'over';

/** One attempt on one node. Times are virtual ms. */
export class Job {
  readonly order: JobOrder;
  readonly listener: JobListener;
  /** What a model in memory is compared with. */
  readonly askedContext: number;
  state: JobState = 'load';
  readonly arrivedAt: number;
  /** Its model is in memory. */
  readyAt = 0;
  startedAt: number | undefined;
  firstTokenAt: number | undefined;
  endedAt = 0;
  /** It made the node load. */
  loaded = false;
  runner: SimRunner | undefined;
  slot = -1;
  /** Tokens of its present phase that are not done. */
  remaining = 0;
  /** Tokens per ms at present. */
  rate = 0;
  /** Tokens of the prompt that were in the slot's cache. */
  cachedTokens = 0;
  promptTokens = 0;

  constructor(order: JobOrder, now: number, listener: JobListener) {
    this.order = order;
    this.listener = listener;
    this.arrivedAt = now;
    this.askedContext = askedContext(order.model, order.numCtx);
  }
}

/** The context that a request wants, before it is cut down to what the model was trained for. */
export function askedContext({ defaultContext }: SimModelSpec, numCtx: number | undefined): number {
  return numCtx ?? defaultContext;
}

/** What a model is loaded with for it. */
export function loadedContext({ maxContext }: SimModelSpec, asked: number): number {
  return Math.min(asked, maxContext ?? Number.POSITIVE_INFINITY);
}
