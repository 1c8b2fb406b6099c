/** Time as the code may see it: a fake one in tests, the machine's in main.ts. */
export interface Clock {
  /** Monotonic milliseconds; differences mean something, absolute values do not. */
  now(): number;
  /** Wall clock, for what people and logs read. */
  date(): Date;
  /** Resolves after `ms`, or at once when `signal` aborts; never rejects. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Calls `fn` once after `ms`; the returned function cancels. Does not keep the process alive. */
  after(ms: number, fn: () => void): () => void;
}

/** Uniform in [0, 1). */
export type Random = () => number;
