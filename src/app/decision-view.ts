import type { Decision } from './decision-log.ts';
import type { DecisionAttempt, DecisionRecord, PredictedAndReal } from './types.ts';

/** A decision as operators see it. */
export function decisionRecord(decision: Decision): DecisionRecord {
  const { request, caller } = decision;
  const { endpoint } = request;
  return {
    id: decision.id,
    requestId: decision.requestId,
    at: decision.at.toISOString(),
    path: endpoint.path,
    family: endpoint.family,
    operation: endpoint.operation,
    asked: decision.asked,
    model: request.model.key,
    bodyBytes: request.bodyBytes,
    features: {
      promptBytes: request.promptBytes,
      images: request.images,
      wantsTools: request.wantsTools,
      isEmpty: request.isEmpty,
      unloads: request.unloads,
      numCtx: request.numCtx,
      maxTokens: request.maxTokens,
      prefixes: request.prefixes.length,
    },
    caller: caller && { id: caller.id, class: caller.class },
    waitedMs: decision.waitedMs,
    waitedFor: decision.waitedFor,
    edits: decision.edits,
    refusal: decision.refusal,
    snapshotVersion: decision.snapshotVersion,
    ranking: decision.ranking,
    attempts: attemptsOf(decision),
    outcome: decision.outcome,
    seconds: secondsOf(decision),
  };
}

function attemptsOf(decision: Decision): DecisionAttempt[] {
  const { outcome } = decision;
  const attempts = Array.from(decision.failures, ([node, result]): DecisionAttempt => ({ node, result }));
  const last = outcome?.address === undefined ? undefined : decision.nodeAt(outcome.address);
  if (outcome === undefined || last === undefined || attempts.some(({ node }) => node === last.id))
    return attempts;
  return [...attempts, { node: last.id, result: outcome.end === 'complete' ? 'served' : outcome.end }];
}

/** What was expected of the node that answered, and what came; both without the time in the line. */
export function secondsOf({
  outcome,
  ranking,
  waitedMs,
}: Pick<Decision, 'outcome' | 'ranking' | 'waitedMs'>): PredictedAndReal | undefined {
  const node = ranking.nodes.find(({ address }) => address === outcome?.address);
  if (outcome === undefined || node === undefined || outcome.end !== 'complete') return undefined;
  const { firstByteMs } = outcome;
  return {
    predictedFirstToken: node.firstTokenSeconds,
    predictedCompletion: node.completionSeconds,
    realFirstToken: firstByteMs === undefined ? undefined : Math.max(0, firstByteMs - waitedMs) / 1000,
    realCompletion: Math.max(0, outcome.totalMs - waitedMs) / 1000,
  };
}
