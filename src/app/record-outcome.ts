import type { LeaseLedger } from '../fleet/ledger.ts';
import type { FailureReason, NodeId, Observation } from '../fleet/types.ts';
import { isStreamed } from '../routing/per-try.ts';
import { companyOf } from './company.ts';
import type { Decision, DecisionLog } from './decision-log.ts';
import type { Fleet } from './fleet.ts';
import type { Log } from './log.ts';
import type { Clock } from './ports.ts';
import type { PromptNotes } from './prompt-notes.ts';
import type { RequestWatcher } from './request-watcher.ts';
import { serviceTimes } from './service-times.ts';
import type { Telemetry } from './telemetry-port.ts';
import type { AnswerRecorder, AttemptReport, Outcome } from './types.ts';

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
  readonly clock: Clock;
  readonly watchers?: readonly RequestWatcher[];
  /** Hear which prompts nodes have read; undefined: nobody remembers them. */
  readonly promptNotes?: Pick<PromptNotes, 'heard' | 'note' | 'unloaded'>;
}

/** Turns what Envoy reports of live traffic into observations: the lease follows the attempt, the fleet learns. */
export class OutcomeLog implements AnswerRecorder {
  readonly #deps: OutcomeDependencies;

  constructor(dependencies: OutcomeDependencies) {
    this.#deps = dependencies;
  }

  attemptFailed(report: AttemptReport): void {
    const { fleet, decisions, telemetry, observe } = this.#deps;
    const decision = decisions.find(report.decisionId);
    const node = decision?.nodeAt(report.address)?.id ?? fleet.nodeAt(report.address);
    if (node === undefined || decision === undefined || !decision.noteFailure(node, report.reason)) return;
    const { reason, retryAfterMs } = report;
    telemetry.attempt(node, reason);
    this.#tellFailure(decision, node, reason);
    const { model, fingerprint } = decision.request;
    observe(node, { kind: 'attempt_failed', model: model.key, reason, retryAfterMs, fingerprint });
    if (reason === 'model_missing') this.#deps.refreshTags(node);
    const next = decision.nodeAfter(node);
    if (next !== undefined) this.#moveOn(decision, next.id);
  }

  servedBy(decisionId: string, address: string): void {
    const { fleet, ledger, decisions } = this.#deps;
    const decision = decisions.find(decisionId);
    const node = decision?.nodeAt(address)?.id ?? fleet.nodeAt(address);
    if (decision === undefined || node === undefined) return;
    ledger.move(decisionId, node);
    // When it was sent to a node further down is not known, nor who ran there then.
    if (node !== decision.ranking.nodes[0]?.id) decision.company = undefined;
  }

  #moveOn(decision: Decision, node: NodeId): void {
    const { ledger, clock } = this.#deps;
    const lease = ledger.find(decision.id);
    if (lease === undefined) return;
    if (lease.node !== node) decision.company = companyOf(ledger, node, lease.model, clock.now());
    ledger.move(decision.id, node);
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
    const comesAtOnce = decision !== undefined && !isStreamed(decision.request);
    const firstByteMs = comesAtOnce ? undefined : outcome.firstByteMs;
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
      waitedSeconds: (decision?.waitedMs ?? 0) / 1000,
      firstByteSeconds: firstByteMs === undefined ? undefined : firstByteMs / 1000,
      predictedFirstTokenSeconds: ranked?.firstTokenSeconds,
      predictedCompletionSeconds: ranked?.completionSeconds,
      promptTokens: outcome.usage.promptTokens,
      completionTokens: outcome.usage.completionTokens,
    });
    this.#logOutcome(outcome, node, decision?.requestId ?? outcome.requestId);
  }

  #tellFailure(decision: Decision, node: NodeId, reason: FailureReason): void {
    for (const watcher of this.#deps.watchers ?? []) watcher.attemptFailed?.(decision, node, reason);
  }

  #servedBy(outcome: Outcome, decision: Decision | undefined): NodeId | undefined {
    if (outcome.address === undefined) return undefined;
    return decision?.nodeAt(outcome.address)?.id ?? this.#deps.fleet.nodeAt(outcome.address);
  }

  #learn(decision: Decision, node: NodeId, outcome: Outcome): void {
    const { observe, telemetry, promptNotes } = this.#deps;
    const model = decision.request.model.key;
    if (outcome.end === 'truncated' || outcome.end === 'in_band_error') {
      if (!decision.noteFailure(node, outcome.end)) return;
      telemetry.attempt(node, outcome.end);
      this.#tellFailure(decision, node, outcome.end);
      const { fingerprint } = decision.request;
      observe(node, {
        kind: 'attempt_failed',
        model,
        reason: outcome.end,
        retryAfterMs: undefined,
        fingerprint,
      });
      return;
    }
    if (outcome.end === 'client_gone' && outcome.status < 400 && outcome.responseBytes > 0)
      promptNotes?.note(node, model, decision.request.prefixes);
    if (outcome.end !== 'complete' || outcome.status >= 400) return;
    telemetry.attempt(node, 'served');
    // The model is gone again: nothing about the next request follows from this one.
    if (hasUnloaded(decision)) {
      promptNotes?.unloaded(node, model);
      return;
    }
    const service = serviceTimes(decision, node, outcome, this.#deps);
    const served: Observation = { kind: 'attempt_served', model, service };
    observe(node, served);
    promptNotes?.heard(node, served);
  }

  #logOutcome(outcome: Outcome, node: NodeId | undefined, requestId: string | undefined): void {
    const { log } = this.#deps;
    if (!log.isLevelEnabled('debug')) return;
    const { decisionId, path, status, end, attempts, firstByteMs, totalMs, details, flags, usage } = outcome;
    log.debug(
      {
        decision: decisionId,
        requestId,
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

function hasUnloaded({ request, edits }: Decision): boolean {
  return request.unloads && !edits.some((edit) => edit.field === 'keep_alive' && edit.to !== 0);
}
