import type { ExtProcProblem } from '../../app/ext-proc-profile.ts';
import { remedyFor } from '../../app/ext-proc-remedies.ts';
import type { Log } from '../../app/log.ts';

/** A misconfigured proxy has the same problem with every request: so often it is logged, ms. */
const REPEAT_MS = 10 * 60_000;

/** Reports each problem to `onProblem` every time, and to the log with its remedy now and then. */
export function problemReporter(
  log: Log,
  now: () => number,
  onProblem: (problem: ExtProcProblem, detail?: string) => void = () => undefined,
): (problem: ExtProcProblem, detail?: string) => void {
  const logged = new Map<ExtProcProblem, number>();
  return (problem, detail) => {
    onProblem(problem, detail);
    const last = logged.get(problem);
    if (last !== undefined && now() - last < REPEAT_MS) return;
    logged.set(problem, now());
    log.warn(detail === undefined ? { problem } : { problem, detail }, remedyFor(problem));
  };
}
