import type { ModelKey } from '../fleet/types.ts';

/** How urgent a request is, most urgent first. */
export const REQUEST_CLASSES = ['interactive', 'normal', 'batch'] as const;
export type RequestClass = (typeof REQUEST_CLASSES)[number];

/** Who asks, and how urgently: what the request's head and the policy say, not its body. */
export interface Caller {
  /** Between whom slots are shared out: name of the client whose key was sent, else its address. Bounded; no secret. */
  readonly id: string;
  readonly class: RequestClass;
  /** Longest time in the line, ms. Where it is the policy's, the time that a load takes comes on top. */
  readonly maxWaitMs: number;
  /** `maxWaitMs` is what the request asked for itself. */
  readonly hasOwnDeadline?: boolean;
  /** May unload models and set runner options, see the configuration's `clients`. */
  readonly isPrivileged: boolean;
}

/** One request in the line. */
export interface Waiter {
  readonly caller: Caller;
  readonly model: ModelKey;
  /** Addresses of the nodes that it may go to; undefined: to any. */
  readonly among?: ReadonlySet<string> | undefined;
  /** Monotonic ms. */
  readonly since: number;
  /** Monotonic ms after which it is told that it cannot be served. */
  readonly until: number;
  /** Bytes of its body, which waits with it, here or in Envoy. */
  readonly heldBytes: number;
  /** Tokens that it will most likely cost, prompt and answer: what fairness counts. */
  readonly tokens: number;
}

/** Why a request waits rather than runs; bounded, so that it can be a metric label. */
export type WaitReason =
  | 'slots_busy' // every node that has the model in memory is at its slots
  | 'loading' // the model is being loaded
  | 'no_room'; // loading it now would cost others more than the wait

/** The line as people see it. */
export interface LineReport {
  readonly length: number;
  readonly bytes: number;
  readonly oldestMs: number | undefined;
  readonly byClass: Readonly<Record<RequestClass, number>>;
  /** At most 50, longest first. */
  readonly byModel: readonly LineShare[];
  readonly byCaller: readonly LineShare[];
  readonly byReason: Readonly<Record<WaitReason, number>>;
}

export interface LineShare {
  readonly name: string;
  readonly waiting: number;
  readonly oldestMs: number;
}
