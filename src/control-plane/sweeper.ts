import type { DecisionLog } from '../app/decision-log.ts';
import type { Clock } from '../app/ports.ts';
import type { Telemetry } from '../app/telemetry-port.ts';
import type { LeaseLedger } from '../fleet/ledger.ts';

const EVERY_MS = 10_000;
/** Far beyond any answer: the end of a stream releases its lease, this is for a defect. */
const LEASE_MAX_AGE_MS = 6 * 3_600_000;
/** An access log entry comes about 1 ms after the end of its request; later than this it was lost. */
const LOST_LOG_MS = 60_000;

export interface SweeperDependencies {
  readonly ledger: LeaseLedger;
  readonly decisions: DecisionLog;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
}

/** Ends what should have ended by itself, so that nothing grows without bound. */
export async function runSweeper(deps: SweeperDependencies, signal: AbortSignal): Promise<void> {
  const { ledger, decisions, telemetry, clock } = deps;
  while (!signal.aborted) {
    await clock.sleep(EVERY_MS, signal);
    const now = clock.now();
    for (const _ of ledger.expire(LEASE_MAX_AGE_MS, now)) telemetry.leaseReaped();
    decisions.dropFinishedBefore(now - LOST_LOG_MS);
  }
}
