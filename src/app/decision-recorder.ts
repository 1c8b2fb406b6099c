import { createHmac } from 'node:crypto';
import type { RouteRequest } from '../request/types.ts';
import type { Caller } from '../waiting/types.ts';
import type { Decision } from './decision-log.ts';
import type { RecordedRequest } from './decision-record.ts';
import type { Clock } from './ports.ts';
import type { RequestWatcher, UnplacedRequest } from './request-watcher.ts';
import type { Outcome } from './types.ts';

/** Callers whose hashes are remembered: hashing one takes microseconds. */
const MAX_CALLERS = 1_024;

export interface DecisionRecorderOptions {
  readonly append: (line: string) => void;
  readonly clock: Clock;
  /** Random, and this process's own: nobody can tell callers of one recording from those of another. */
  readonly salt: Uint8Array;
}

/** Writes one line for every request that ended, see `recordedRequestSchema`. */
export class DecisionRecorder implements RequestWatcher {
  readonly #options: DecisionRecorderOptions;
  readonly #callers = new Map<string, string>();

  constructor(options: DecisionRecorderOptions) {
    this.#options = options;
  }

  ended(decision: Decision, node: string | undefined, outcome: Outcome): void {
    const { request, waitedMs, caller } = decision;
    const { usage } = outcome;
    const ranked = decision.ranking.nodes.find(({ id }) => id === node);
    this.#write({
      at: new Date(decision.at.getTime() - waitedMs).toISOString(),
      id: decision.id,
      ...this.#features(request, caller),
      model: decision.asked,
      target: request.model.key,
      waitedMs: rounded(waitedMs),
      node,
      reason: decision.ranking.nodes[0]?.reason,
      predictedFirstTokenMs: ranked && rounded(ranked.firstTokenSeconds * 1000),
      predictedCompletionMs: ranked && rounded(ranked.completionSeconds * 1000),
      end: outcome.end,
      status: outcome.status,
      attempts: Math.min(outcome.attempts, 1_000),
      firstByteMs: known(outcome.firstByteMs),
      totalMs: rounded(outcome.totalMs),
      promptTokens: usage.promptTokens,
      completionTokens: usage.completionTokens,
      loadMs: known(usage.loadMs),
      promptEvalMs: known(usage.promptEvalMs),
      evalMs: known(usage.evalMs),
    });
  }

  unplaced({ id, request, caller, waitedMs, why }: UnplacedRequest): void {
    const { clock } = this.#options;
    this.#write({
      at: new Date(clock.date().getTime() - waitedMs).toISOString(),
      id,
      ...this.#features(request, caller),
      target: request.model.key,
      waitedMs: rounded(waitedMs),
      end: why === 'client_gone' ? 'client_gone' : 'refused',
      status: 0,
      code: why === 'client_gone' ? undefined : why,
      attempts: 0,
      totalMs: rounded(waitedMs),
    });
  }

  #features(request: RouteRequest, caller: Caller | undefined) {
    return {
      path: request.endpoint.path,
      model: request.model.key,
      bodyBytes: request.bodyBytes,
      promptBytes: request.promptBytes,
      images: request.images,
      wantsTools: request.wantsTools || undefined,
      isEmpty: request.isEmpty || undefined,
      unloads: request.unloads || undefined,
      numCtx: request.numCtx,
      maxTokens: request.maxTokens,
      class: caller?.class ?? ('normal' as const),
      caller: this.#hashed(caller?.id ?? ''),
      prefixes: request.prefixes.map(({ hash, bytes }) => ({ hash, bytes })),
      maxWaitMs: caller?.maxWaitMs,
    };
  }

  #write(line: Unset<RecordedRequest>): void {
    this.#options.append(JSON.stringify(line));
  }

  #hashed(caller: string): string {
    const known = this.#callers.get(caller);
    if (known !== undefined) return known;
    const hash = createHmac('sha256', this.#options.salt).update(caller).digest('base64url').slice(0, 12);
    if (this.#callers.size >= MAX_CALLERS) this.#callers.clear();
    this.#callers.set(caller, hash);
    return hash;
  }
}

/** JSON has no members that are undefined. */
type Unset<T> = { [Key in keyof T]: T[Key] | undefined };

function known(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : rounded(ms);
}

/** Microseconds are exact enough. */
function rounded(ms: number): number {
  return Math.round(Math.max(0, ms) * 1000) / 1000;
}
