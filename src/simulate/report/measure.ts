import type { Scenario, SimOutcome, SimResult } from '../types.ts';

/**
 * Seconds that a request counts with which was refused, failed or left before its first token: longer than any client waits, so
 * that no policy looks better for turning requests away.
 */
export const UNSERVED_SECONDS = 600;
/** What people call "at once". */
const PROMPT_SECONDS = 5;

/** How one policy did in one run. Times in seconds. */
export interface Measures {
  readonly requests: number;
  /** To the first token, of all requests but those of class `batch`, which nobody watches. */
  readonly ttftP50: number;
  readonly ttftP95: number;
  readonly ttftP99: number;
  /** To the end of the answer, batch included. */
  readonly completionP95: number;
  /** Share whose first token came within 5 s, of those that `ttft` counts. */
  readonly promptShare: number;
  /** Share that was not answered. */
  readonly unservedShare: number;
  readonly loads: number;
  /** Loads of a model that the node had had in memory before. */
  readonly reloads: number;
  /** Jain's index over the clients, of how promptly they are served on average: 1 where all are served alike, 1/n where one has it all. */
  readonly fairness: number;
  /** Share of the time that requests waited (or could have) in which a warm slot for them stood idle: seconds per request. */
  readonly wasteSeconds: number;
}

export function measure(result: SimResult, scenario: Scenario): Measures {
  const ttft: number[] = [];
  const completion: number[] = [];
  const byCaller = new Map<string, number[]>();
  let unserved = 0;
  for (const outcome of result.outcomes) {
    const caller = scenario.requests[outcome.id]?.caller;
    if (caller === undefined)
      throw new RangeError(`request ${outcome.id} is not of scenario ${scenario.name}`);
    if (outcome.end !== 'served') unserved += 1;
    completion.push(
      outcome.end === 'served' ? seconds(outcome.endedAt - outcome.arrivedAt) : UNSERVED_SECONDS,
    );
    const first = firstTokenSeconds(outcome);
    if (caller.class !== 'batch') ttft.push(first);
    const own = byCaller.get(caller.id);
    if (own === undefined) byCaller.set(caller.id, [first]);
    else own.push(first);
  }
  ttft.sort((a, b) => a - b);
  completion.sort((a, b) => a - b);
  const count = Math.max(1, result.outcomes.length);
  return {
    requests: result.outcomes.length,
    ttftP50: quantile(ttft, 0.5),
    ttftP95: quantile(ttft, 0.95),
    ttftP99: quantile(ttft, 0.99),
    completionP95: quantile(completion, 0.95),
    promptShare: ttft.filter((value) => value <= PROMPT_SECONDS).length / Math.max(1, ttft.length),
    unservedShare: unserved / count,
    loads: result.loads,
    reloads: result.reloads,
    fairness: jain([...byCaller.values()].map((own) => 1 / (1 + mean(own)))),
    wasteSeconds: seconds(result.wasteMs) / count,
  };
}

/** A client that left waiting saw nothing, whoever turned it away. */
function firstTokenSeconds({ firstTokenAt, arrivedAt, end }: SimOutcome): number {
  return firstTokenAt === undefined || end === 'refused' || end === 'failed'
    ? UNSERVED_SECONDS
    : seconds(firstTokenAt - arrivedAt);
}

/** The smallest value that so large a share does not exceed; 0 of nothing. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

/** (sum x)^2 / (n sum x^2). */
export function jain(values: readonly number[]): number {
  const sum = values.reduce((all, value) => all + value, 0);
  const squares = values.reduce((all, value) => all + value * value, 0);
  return squares === 0 ? 1 : (sum * sum) / (values.length * squares);
}

export function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((all, value) => all + value, 0) / values.length;
}

/** Of figures that may be 0: each counts as at least `least`. */
export function geometricMean(values: readonly number[], least: number): number {
  return Math.exp(mean(values.map((value) => Math.log(Math.max(least, value)))));
}

function seconds(ms: number): number {
  return ms / 1_000;
}
