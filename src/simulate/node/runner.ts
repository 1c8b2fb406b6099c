import type { SimModelSpec } from '../types.ts';
import { type Job, loadedContext } from './job.ts';
import { PromptCache } from './prompt-cache.ts';

/** One model in a node's memory. */
export class SimRunner {
  readonly model: SimModelSpec;
  readonly context: number;
  /** As it was asked for: a request that asks for another one makes the model load anew. */
  readonly askedContext: number;
  /** Weights and KV cache of all slots. */
  readonly sizeBytes: number;
  /** The part on GPUs. */
  readonly vramBytes: number;
  /** Slots, undefined where free. */
  readonly slots: (Job | undefined)[];
  readonly cache: PromptCache;
  /** Requests that wait for a slot, first come first served. */
  readonly waiting: Job[] = [];
  /** Infinity: for ever. 0: it goes as soon as nobody uses it. */
  keepAliveMs: number;
  /** Of the last request's end, or the load's. */
  lastUsedAt: number;
  running = 0;
  /** Of `running`, those that read their prompt. */
  reading = 0;
  cancelExpiry: (() => void) | undefined;

  constructor(fields: {
    model: SimModelSpec;
    askedContext: number;
    sizeBytes: number;
    vramBytes: number;
    parallel: number;
    keepAliveMs: number;
    now: number;
  }) {
    this.model = fields.model;
    this.askedContext = fields.askedContext;
    this.context = loadedContext(fields.model, fields.askedContext);
    this.sizeBytes = fields.sizeBytes;
    this.vramBytes = fields.vramBytes;
    this.slots = new Array(fields.parallel).fill(undefined);
    this.cache = new PromptCache(fields.parallel);
    this.keepAliveMs = fields.keepAliveMs;
    this.lastUsedAt = fields.now;
  }

  get isBusy(): boolean {
    return this.running > 0 || this.waiting.length > 0;
  }

  get freeSlots(): number {
    return this.slots.length - this.running;
  }

  /** Moves only when a request ends, so it lies in the past during a long one. */
  get expiresAt(): number {
    return this.lastUsedAt + this.keepAliveMs;
  }
}
