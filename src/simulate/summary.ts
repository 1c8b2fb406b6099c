import { jain, mean, percentile } from './statistics.ts';
import type { Scenario, SimOutcome, SimRequest, SimResult } from './types.ts';

/** A request without an answer counts as one whose first token took so long, or as long as it waited if that is longer. */
export const UNANSWERED_MS = 300_000;
const SOON_MS = 5_000;

/** One policy in one scenario, in the figures that policies are compared by. */
export interface SimSummary {
  readonly policy: string;
  readonly scenario: string;
  readonly requests: number;
  readonly served: number;
  readonly refused: number;
  readonly failed: number;
  /** Clients that hung up. */
  readonly left: number;
  /** Seconds from arrival to the first token. */
  readonly firstToken: {
    readonly p50: number;
    readonly p95: number;
    readonly p99: number;
    readonly mean: number;
  };
  /** Seconds from arrival to the end of the answer. */
  readonly completionP95: number;
  readonly loads: number;
  readonly reloads: number;
  /** Share of all requests whose first token came within 5 s. */
  readonly within5s: number;
  /** Jain's index over callers: tokens served per second in which the caller had a request in the system. */
  readonly fairness: number;
  /** Seconds of idle warm slots while requests for their model waited. */
  readonly wasteSeconds: number;
  readonly decisions: number;
}

export function summarize(result: SimResult, scenario: Scenario): SimSummary {
  const first = result.outcomes.map(firstTokenMs).sort((a, b) => a - b);
  const whole = result.outcomes.map(completionMs).sort((a, b) => a - b);
  const count = (end: SimOutcome['end']): number =>
    result.outcomes.filter((outcome) => outcome.end === end).length;
  return {
    policy: result.policy,
    scenario: result.scenario,
    requests: result.outcomes.length,
    served: count('served'),
    refused: count('refused'),
    failed: count('failed'),
    left: count('left'),
    firstToken: {
      p50: percentile(first, 0.5) / 1000,
      p95: percentile(first, 0.95) / 1000,
      p99: percentile(first, 0.99) / 1000,
      mean: mean(first) / 1000,
    },
    completionP95: percentile(whole, 0.95) / 1000,
    loads: result.loads,
    reloads: result.reloads,
    within5s: first.length === 0 ? 1 : first.filter((ms) => ms <= SOON_MS).length / first.length,
    fairness: fairness(result.outcomes, scenario.requests),
    wasteSeconds: result.wasteMs / 1000,
    decisions: result.decisions,
  };
}

/** From arrival; as people see it: no answer is worse than a late one. */
export function firstTokenMs({ arrivedAt, firstTokenAt, endedAt, end }: SimOutcome): number {
  if (firstTokenAt !== undefined && (end === 'served' || end === 'left')) return firstTokenAt - arrivedAt;
  return Math.max(UNANSWERED_MS, endedAt - arrivedAt);
}

function completionMs({ arrivedAt, endedAt, end, firstTokenAt }: SimOutcome): number {
  const ms = endedAt - arrivedAt;
  return end === 'served' || (end === 'left' && firstTokenAt !== undefined)
    ? ms
    : Math.max(UNANSWERED_MS, ms);
}

function fairness(outcomes: readonly SimOutcome[], requests: readonly SimRequest[]): number {
  const byId = new Map(requests.map((request) => [request.id, request]));
  const callers = new Map<string, { tokens: number; spans: [number, number][] }>();
  for (const { id, arrivedAt, endedAt, end } of outcomes) {
    const request = byId.get(id);
    if (request === undefined) continue;
    let caller = callers.get(request.caller.id);
    if (caller === undefined) {
      caller = { tokens: 0, spans: [] };
      callers.set(request.caller.id, caller);
    }
    if (end === 'served') caller.tokens += request.promptTokens + request.answerTokens;
    caller.spans.push([arrivedAt, endedAt]);
  }
  return jain(
    [...callers.values()].map(({ tokens, spans }) => (tokens * 1000) / Math.max(1, covered(spans))),
  );
}

/** Length of the union of the spans. */
function covered(spans: [number, number][]): number {
  spans.sort((a, b) => a[0] - b[0]);
  let length = 0;
  let until = Number.NEGATIVE_INFINITY;
  for (const [from, to] of spans) {
    length += Math.max(0, to - Math.max(from, until));
    until = Math.max(until, to);
  }
  return length;
}
