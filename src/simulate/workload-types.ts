import type { ModelKey } from '../fleet/types.ts';
import type { RequestClass } from '../waiting/types.ts';
import type { SimEvent, SimModelSpec, SimNodeSpec } from './types.ts';

/** Lognormal: half lie below the median, two thirds within a factor of e^spread of it. */
export interface Lengths {
  readonly median: number;
  /** 0: all are alike. */
  readonly spread: number;
  readonly min: number;
  readonly max: number;
}

/** When requests come. Rates are per second, times in ms. */
export type Arrivals =
  | { readonly kind: 'poisson'; readonly perSecond: number }
  /** Poisson for `onMs`, then nothing for `offMs`, again and again. */
  | { readonly kind: 'bursts'; readonly perSecond: number; readonly onMs: number; readonly offMs: number }
  /** So many at one moment. */
  | { readonly kind: 'once'; readonly atMs: number; readonly count: number }
  /**
   * Conversations that begin at random. Each turn holds the turns before it, and comes `think` ms after the answer to the last
   * was read: slow answers slow the conversation down.
   */
  | {
      readonly kind: 'sessions';
      readonly perSecond: number;
      readonly turns: Lengths;
      readonly think: Lengths;
    };

export interface Weighted<Value> {
  readonly value: Value;
  readonly weight: number;
}

/** One source of requests, such as an application or a group of people. */
export interface WorkloadStream {
  readonly name: string;
  readonly arrivals: Arrivals;
  /** Undefined: from the workload's beginning to its end. */
  readonly fromMs?: number | undefined;
  readonly untilMs?: number | undefined;
  /** Callers among whom the requests are shared out, named `<name>-1` and so on. */
  readonly callers: number;
  /** 0: all ask as often; 1: the second asks half as often as the first, the third a third. */
  readonly skew: number;
  readonly class: RequestClass;
  readonly maxWaitMs: number;
  readonly path: string;
  /** Undefined: the path's default. */
  readonly stream?: boolean | undefined;
  readonly models: readonly Weighted<ModelKey>[];
  /** `num_ctx` of requests; undefined: none is set. Empty: never. One of a session stays. */
  readonly contexts: readonly Weighted<number | undefined>[];
  /** Tokens of what is new in a prompt. */
  readonly prompt: Lengths;
  readonly answer: Lengths;
  /** Tokens at the beginning that all its prompts have in common. */
  readonly systemTokens: number;
  /** Seconds, negative for ever. */
  readonly keepAlive?: number | undefined;
  /** Its requests limit the answer to so many tokens; undefined: they do not say. */
  readonly maxTokens?: number | undefined;
  /** Clients hang up after so many ms. */
  readonly patienceMs?: number | undefined;
}

/** What a scenario is made of: written by hand or read from YAML. The same seed makes the same requests. */
export interface Workload {
  readonly name: string;
  readonly about: string;
  readonly nodes: readonly SimNodeSpec[];
  readonly models: readonly SimModelSpec[];
  readonly durationMs: number;
  readonly streams: readonly WorkloadStream[];
  readonly events: readonly SimEvent[];
}
