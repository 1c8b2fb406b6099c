import type { LeaseLedger } from '../fleet/ledger.ts';
import type { NodeId, ServiceTimes } from '../fleet/types.ts';
import { isStreamed } from '../routing/per-try.ts';
import { afterFirstEnd, servedBeside } from './company.ts';
import type { Decision, DecisionLog } from './decision-log.ts';
import type { Clock } from './ports.ts';
import { sentContext } from './sent-context.ts';
import type { Outcome } from './types.ts';

export interface ServiceSources {
  readonly decisions: DecisionLog;
  readonly ledger: LeaseLedger;
  readonly clock: Clock;
}

/** What the end of a request tells of the node that answered it. */
export function serviceTimes(
  decision: Decision,
  node: NodeId,
  outcome: Outcome,
  { decisions, ledger, clock }: ServiceSources,
): ServiceTimes {
  const { usage } = outcome;
  const { request } = decision;
  const ranked = decision.ranking.nodes.find(({ id }) => id === node);
  const { operation } = request.endpoint;
  const isWork = operation !== 'show' && !request.isEmpty;
  const company = decision.company?.node === node ? decision.company : undefined;
  const now = clock.now();
  const endedAt = decision.finishedAt ?? now;
  // Envoy counts from the request's arrival: without the line, and without the nodes that it tried before.
  const isFirst = decision.ranking.nodes[0]?.id === node;
  const sentMs =
    isFirst || company === undefined ? outcome.totalMs - decision.waitedMs : endedAt - company.sentAt;
  const totalMs = Math.max(0, sentMs);
  const afterFirstMs =
    isStreamed(request) && isWork ? outcome.totalMs - (outcome.firstByteMs ?? Number.NaN) : Number.NaN;
  const firstByteMs = afterFirstMs >= 0 ? Math.max(0, totalMs - afterFirstMs) : undefined;
  const beganAt = endedAt - (firstByteMs === undefined ? 0 : afterFirstMs);
  const find = (id: string) => decisions.find(id);
  return {
    isWork,
    numCtx: sentContext(request.numCtx, decision.edits),
    promptBytes: request.promptBytes,
    cachedBytes: ranked?.cachedBytes,
    prefixes: request.prefixes,
    endedAt: clock.date().getTime() - Math.max(0, now - endedAt),
    // Where nothing is known of who ran there, it counts as alone, which teaches no slots.
    concurrency: company?.concurrency ?? 1,
    besideOthers: company?.others,
    servedBeside: company === undefined || !isWork ? undefined : servedBeside(company, beganAt, find, ledger),
    afterFirstEndMs: company === undefined || !isWork ? undefined : afterFirstEnd(company, endedAt, find),
    wasWarm: isWork || request.isEmpty ? (ranked?.isWarm ?? false) : false,
    firstByteMs,
    totalMs: usage.totalMs ?? totalMs,
    loadMs: usage.loadMs,
    promptEvalMs: usage.promptEvalMs,
    evalMs: usage.evalMs,
    promptTokens: usage.promptTokens,
    completionTokens: usage.completionTokens,
  };
}
