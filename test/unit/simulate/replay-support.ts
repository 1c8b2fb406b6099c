import type { RecordedRequest } from '../../../src/app/decision-record.ts';
import { simulate } from '../../../src/simulate/policies.ts';
import { replayFleet } from '../../../src/simulate/replay/replay-fleet.ts';
import { replayRequests } from '../../../src/simulate/replay/replay-requests.ts';
import { measure } from '../../../src/simulate/report/measure.ts';

/** Median seconds to the first token when Warmpath gets the recorded requests again. */
export function policyP50(records: readonly RecordedRequest[]): number {
  const scenario = {
    name: 'replay',
    about: '',
    ...replayFleet(records),
    requests: replayRequests(records),
    events: [],
  };
  return measure(simulate(scenario, 'warmpath', { seed: 1 }), scenario).ttftP50;
}
