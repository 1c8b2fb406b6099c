import type { LeaseLedger } from '../fleet/ledger.ts';
import type { FailureReason, NodeId, Observation, ServiceTimes } from '../fleet/types.ts';
import type { Decision, DecisionLog } from './decision-log.ts';
import type { Fleet } from './fleet.ts';
import type { Log } from './log.ts';
import type { RequestWatcher } from './request-watcher.ts';
import type { Telemetry } from './telemetry-port.ts';
import type { AttemptReport, Outcome, OutcomeRecorder } from './types.ts';

export interface OutcomeDependencies {
  readonly fleet: Fleet;
  readonly ledger: LeaseLedger;
  readonly decisions: DecisionLog;
  readonly telemetry: Telemetry;
  readonly log: Log;
  /** What a request has shown of a node. */
  readonly observe: (node: NodeId, observation: Observation) => void;
  /** The node no longer has a model that its tag list names: read the list again. */
  readonly refreshTags: (node: NodeId) => void;
  readonly watchers?: readonly RequestWatcher[];
}

/** Turns what Envoy reports of live traffic into observations: the lease follows the attempt, the fleet learns. */
export class OutcomeLog implements OutcomeRecorder {
  readonly #deps: OutcomeDependencies;

  constructor(dependencies: OutcomeDependencies) {
    this.#deps = dependencies;
  }

  attemptFailed(report: AttemptReport): void {
    const { fleet, ledger, decisions, telemetry, observe } = this.#deps;
    const decision = decisions.find(report.decisionId);
    const node = decision?.nodeAt(report.address)?.id ?? fleet.nodeAt(report.address);
    if (node === undefined || decision === undefined || !decision.noteFailure(node, report.reason)) return;
    const { reason, retryAfterMs } = report;
    telemetry.attempt(node, reason);
    this.#tellFailure(decision, node, reason);
    observe(node, { kind: 'attempt_failed', model: decision.request.model.key, reason, retryAfterMs });
    if (reason === 'model_missing') this.#deps.refreshTags(node);
    const next = decision.nodeAfter(node);
    if (next !== undefined) ledger.move(decision.id, next.id);
  }

  requestEnded(outcome: Outcome): void {
    const { decisions, telemetry } = this.#deps;
    const decision = outcome.decisionId === undefined ? undefined : decisions.find(outcome.decisionId);
    const node = this.#servedBy(outcome, decision);
    if (decision !== undefined) {
      decision.outcome = outcome;
      decisions.close(decision.id);
      if (node !== undefined) this.#learn(decision, node, outcome);
      for (const watcher of this.#deps.watchers ?? []) watcher.ended?.(decision, node, outcome);
    }
    const ranked = decision?.ranking.nodes.find((candidate) => candidate.id === node);
    telemetry.ended({
      // A decision that this process does not know was made by its predecessor.
      routed: outcome.decisionId !== undefined,
      path: outcome.path,
      status: outcome.status,
      end: outcome.end,
      node,
      model: decision?.request.model.key,
      attempts: outcome.attempts,
      totalSeconds: outcome.totalMs / 1000,
      firstByteSeconds: outcome.firstByteMs === undefined ? undefined : outcome.firstByteMs / 1000,
      predictedSeconds: ranked?.seconds,
      promptTokens: outcome.usage.promptTokens,
      completionTokens: outcome.usage.completionTokens,
    });
    this.#logOutcome(outcome, node);
  }

  #tellFailure(decision: Decision, node: NodeId, reason: FailureReason): void {
    for (const watcher of this.#deps.watchers ?? []) watcher.attemptFailed?.(decision, node, reason);
  }

  #servedBy(outcome: Outcome, decision: Decision | undefined): NodeId | undefined {
    if (outcome.address === undefined) return undefined;
    return decision?.nodeAt(outcome.address)?.id ?? this.#deps.fleet.nodeAt(outcome.address);
  }

  #learn(decision: Decision, node: NodeId, outcome: Outcome): void {
    const { observe, telemetry } = this.#deps;
    const model = decision.request.model.key;
    if (outcome.end === 'truncated' || outcome.end === 'in_band_error') {
      if (!decision.noteFailure(node, outcome.end)) return;
      telemetry.attempt(node, outcome.end);
      this.#tellFailure(decision, node, outcome.end);
      observe(node, { kind: 'attempt_failed', model, reason: outcome.end, retryAfterMs: undefined });
      return;
    }
    if (outcome.end !== 'complete' || outcome.status >= 400) return;
    telemetry.attempt(node, 'served');
    // The model is gone again: nothing about the next request follows from this one.
    if (decision.request.unloads) return;
    observe(node, { kind: 'attempt_served', model, service: serviceTimes(decision, node, outcome) });
  }

  #logOutcome(outcome: Outcome, node: NodeId | undefined): void {
    const { log } = this.#deps;
    if (!log.isLevelEnabled('debug')) return;
    const { decisionId, path, status, end, attempts, firstByteMs, totalMs, details, flags, usage } = outcome;
    log.debug(
      {
        decision: decisionId,
        node,
        path,
        status,
        end,
        attempts,
        firstByteMs,
        totalMs,
        details,
        flags,
        usage,
      },
      'ended',
    );
  }
}

function serviceTimes(decision: Decision, node: NodeId, outcome: Outcome): ServiceTimes {
  const { usage } = outcome;
  const isFirstChoice = decision.ranking.nodes[0]?.id === node;
  return {
    // On a later node nothing is known of who ran there when it was sent: count it as alone, which teaches no slots.
    concurrency: isFirstChoice ? decision.concurrency : 1,
    wasWarm: decision.ranking.nodes.find((ranked) => ranked.id === node)?.isWarm ?? false,
    firstByteMs: outcome.firstByteMs,
    totalMs: usage.totalMs ?? outcome.totalMs,
    loadMs: usage.loadMs,
    promptEvalMs: usage.promptEvalMs,
    evalMs: usage.evalMs,
    promptTokens: usage.promptTokens,
    completionTokens: usage.completionTokens,
  };
}
