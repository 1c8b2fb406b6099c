import type { ModelKey } from '../fleet/types.ts';
import type { ModelName } from '../request/types.ts';

/** What may be changed in clients' requests, and what callers without privilege may ask for. */
export interface RewritePolicy {
  /** `pin`: a context that fits into the one in memory becomes that one, a larger one the next of `numCtxBuckets`. */
  readonly numCtx: 'pin' | 'off';
  /** Contexts in tokens, ascending. */
  readonly numCtxBuckets: readonly number[];
  /** Nobody gets a larger context by asking for it; undefined: no limit. Counts with `numCtx: 'off'` too. */
  readonly numCtxMax: number | undefined;
  /** Seconds; undefined: as the client says. Neither binds the privileged. */
  readonly keepAliveMin: number | undefined;
  readonly keepAliveMax: number | undefined;
  /** Who may unload a model. */
  readonly unload: 'privileged' | 'anyone';
  /** What becomes of runner options (`num_gpu`, ...) from callers without privilege. */
  readonly runnerOptions: 'pass' | 'strip' | 'deny';
  /** Requests of one caller without privilege that only load a model; 0: no limit. */
  readonly preloadsPerMinute: number;
}

export const DEFAULT_REWRITES: RewritePolicy = {
  numCtx: 'pin',
  numCtxBuckets: [],
  numCtxMax: undefined,
  keepAliveMin: undefined,
  keepAliveMax: 86_400,
  unload: 'privileged',
  runnerOptions: 'pass',
  preloadsPerMinute: 30,
};

/** Names that clients may ask for, by key, each with the models that serve it, best first: real ones, never aliases. */
export type ModelAliases = ReadonlyMap<ModelKey, Alias>;

export interface Alias {
  /** As the configuration spells it. */
  readonly name: ModelName;
  /** At least 1, at most `MAX_TARGETS`, each once. */
  readonly targets: readonly ModelName[];
}

export const NO_ALIASES: ModelAliases = new Map();

/** Models that one request may be tried on, one after the other. */
export const MAX_TARGETS = 16;
