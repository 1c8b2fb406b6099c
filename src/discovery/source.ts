import type { Log } from '../app/log.ts';
import type { Clock, Random } from '../app/ports.ts';
import type { Candidate } from '../app/registry/registry-types.ts';

/** All that a source names now. What it names is proven by nobody yet. */
export type Report = (candidates: readonly Candidate[]) => void;

/**
 * One place where nodes are found. While it cannot tell, it reports nothing, so that what it named last stays; it says
 * once why, and once when that is over. `run` never rejects and ends with `signal`.
 */
export interface DiscoverySource {
  /** Tells sources of a kind apart; the same after a restart. */
  readonly key: string;
  run(report: Report, signal: AbortSignal): Promise<void>;
}

export interface SourceDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** More than a source may name: the rest is cut, and that is said. */
export const MAX_CANDIDATES = 10_000;
