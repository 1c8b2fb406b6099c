import type { OutcomeEnd } from '../../app/types.ts';
import { DETAILS, DETAILS_PREFIX } from '../names.ts';
import type { Flag } from './flags.ts';

export interface EndFacts {
  readonly status: number;
  readonly details: string;
  readonly flags: ReadonlySet<Flag>;
  readonly attempts: number;
  /** The tap saw an error inside the answer. */
  readonly sawError: boolean;
}

/** The stream broke although an answer had begun. */
const CUT: readonly Flag[] = ['UC', 'UR', 'UPE', 'LR', 'SI', 'DT', 'UMSDR', 'UT', 'UF'];
/** Envoy had nobody to ask, or nobody who answered. */
const NO_ANSWER: readonly Flag[] = ['UH', 'UF', 'UO', 'NC', 'UT', 'OM', 'DF'];

/** One word for how a request ended for its client. */
export function outcomeEnd({ status, details, flags, attempts, sawError }: EndFacts): OutcomeEnd {
  if (flags.has('DC') || flags.has('DR')) return 'client_gone';
  if (details === DETAILS.readJson || details === DETAILS.readText) return 'complete';
  if (details.startsWith(DETAILS_PREFIX)) return 'refused';
  if (status === 0) return 'failed';
  const isGood = status < 400;
  if (isGood && (details.startsWith('upstream_reset_after_response_started') || has(flags, CUT)))
    return 'truncated';
  if (isGood) return sawError ? 'in_band_error' : 'complete';
  if (has(flags, NO_ANSWER)) return 'failed';
  // Denied paths, bodies past the limit, malformed requests: no node was asked.
  if (attempts === 0) return 'refused';
  return status >= 500 || status === 429 ? 'failed' : 'complete';
}

function has(flags: ReadonlySet<Flag>, wanted: readonly Flag[]): boolean {
  return wanted.some((flag) => flags.has(flag));
}
