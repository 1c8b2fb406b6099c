import { z } from 'zod';
import type { ReplicaId, Store, StoreMessage } from '../../store/contract.ts';
import type { Clock } from '../ports.ts';
import type { AttemptReport, Outcome, OutcomeRecorder } from '../types.ts';
import { address, failureReason, maybe, ms } from './shared-schema.ts';

/** Failed attempts move leases: they do not wait. Ends may wait for company. */
const AT_ONCE_MS = 1;
const COALESCE_MS = 10;
const MAX_ITEMS = 500;

const count = z.number().min(0).max(1e15);
const decisionId = z.string().min(1).max(128);
const attemptSchema = z.object({
  decisionId,
  address,
  reason: failureReason,
  status: maybe(z.number().int().min(0).max(999)),
  retryAfterMs: maybe(ms),
}) satisfies z.ZodType<AttemptReport>;
const outcomeSchema = z.object({
  decisionId: maybe(decisionId),
  path: z.string().max(256),
  method: z.string().max(64),
  status: z.number().int().min(0).max(999),
  details: z.string().max(256),
  flags: z.array(z.string().max(16)).max(64),
  address: maybe(address),
  attempts: count,
  firstByteMs: maybe(count),
  totalMs: count,
  requestBytes: count,
  responseBytes: count,
  usage: z.object({
    promptTokens: maybe(count),
    completionTokens: maybe(count),
    totalMs: maybe(count),
    loadMs: maybe(count),
    promptEvalMs: maybe(count),
    evalMs: maybe(count),
    sawError: z.boolean(),
  }),
  end: z.enum(['complete', 'client_gone', 'truncated', 'in_band_error', 'failed', 'refused']),
}) satisfies z.ZodType<Outcome>;
const bodySchema = z.object({
  reports: z
    .array(
      z.discriminatedUnion('kind', [
        z.object({ kind: z.literal('attempt'), report: attemptSchema }),
        z.object({ kind: z.literal('end'), report: outcomeSchema }),
      ]),
    )
    .max(MAX_ITEMS),
});
type Report = z.output<typeof bodySchema>['reports'][number];

export interface SharedOutcomesOptions {
  readonly store: Store;
  readonly replica: ReplicaId;
  readonly clock: Clock;
  /** For decisions of this replica, and for those whose maker is gone. */
  readonly recorder: OutcomeRecorder;
  readonly isLive: (replica: ReplicaId) => boolean;
}

/**
 * Envoy may tell any replica how a request went. The one that made the decision holds its lease and its record: it is
 * told, so that a lease moves, figures are learnt and the request is counted there, once.
 */
export class SharedOutcomes implements OutcomeRecorder {
  readonly #options: SharedOutcomesOptions;
  readonly #waiting = new Map<ReplicaId, Report[]>();
  readonly #flushing = new Map<ReplicaId, { readonly at: number; readonly cancel: () => void }>();
  #unsubscribe: () => void = () => {};

  constructor(options: SharedOutcomesOptions) {
    this.#options = options;
  }

  start(): void {
    const { store, replica } = this.#options;
    this.#unsubscribe = store.subscribe(replica, (message) => this.#receive(message));
  }

  /** What still waits is sent. */
  stop(): void {
    this.#unsubscribe();
    for (const owner of [...this.#waiting.keys()]) this.#flush(owner);
  }

  attemptFailed(report: AttemptReport): void {
    this.#take({ kind: 'attempt', report }, report.decisionId, AT_ONCE_MS);
  }

  requestEnded(report: Outcome): void {
    // It travels as JSON, and Envoy's flags are ours to read only.
    this.#take(
      { kind: 'end', report: { ...report, flags: [...report.flags] } },
      report.decisionId,
      COALESCE_MS,
    );
  }

  #take(report: Report, id: string | undefined, delayMs: number): void {
    const owner = this.#ownerOf(id);
    if (owner === undefined) this.#record(report);
    else this.#send(owner, report, delayMs);
  }

  /** The live replica that made the decision, if it was another one. */
  #ownerOf(id: string | undefined): ReplicaId | undefined {
    const { replica, isLive } = this.#options;
    if (id === undefined || id.startsWith(`${replica}-`)) return undefined;
    const owner = id.slice(0, Math.max(0, id.lastIndexOf('-')));
    return owner !== '' && isLive(owner) ? owner : undefined;
  }

  #send(owner: ReplicaId, report: Report, delayMs: number): void {
    const waiting = this.#waiting.get(owner) ?? [];
    this.#waiting.set(owner, waiting);
    waiting.push(report);
    if (waiting.length >= MAX_ITEMS) {
      this.#flush(owner);
      return;
    }
    const at = this.#options.clock.now() + delayMs;
    const planned = this.#flushing.get(owner);
    if (planned !== undefined && planned.at <= at) return;
    planned?.cancel();
    const cancel = this.#options.clock.after(delayMs, () => this.#flush(owner));
    this.#flushing.set(owner, { at, cancel });
  }

  #flush(owner: ReplicaId): void {
    const { store, replica } = this.#options;
    this.#flushing.get(owner)?.cancel();
    this.#flushing.delete(owner);
    const reports = this.#waiting.get(owner);
    this.#waiting.delete(owner);
    if (reports === undefined) return;
    store.publish({ from: replica, to: owner, topic: 'outcomes', body: { reports } }).catch(() => {
      // Its owner cannot hear of it: counted here at least.
      for (const report of reports) this.#record(report);
    });
  }

  #receive({ topic, body }: StoreMessage): void {
    if (topic !== 'outcomes') return;
    const parsed = bodySchema.safeParse(body);
    if (!parsed.success) return;
    for (const report of parsed.data.reports) this.#record(report);
  }

  #record(report: Report): void {
    const { recorder } = this.#options;
    if (report.kind === 'attempt') recorder.attemptFailed(report.report);
    else recorder.requestEnded(report.report);
  }
}
