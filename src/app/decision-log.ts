import type { FailureReason, ModelKey, NodeId } from '../fleet/types.ts';
import type { BodyEdit, RouteRequest } from '../request/types.ts';
import type { RankedNode, Ranking } from '../routing/types.ts';
import type { Caller, WaitReason } from '../waiting/types.ts';
import type { Company } from './company.ts';
import { decisionRecord } from './decision-view.ts';
import { Recent } from './recent.ts';
import type { DecisionRecord, Outcome, Refusal } from './types.ts';

export interface DecisionFields {
  readonly id: string;
  /** As the proxy names the request. */
  readonly requestId?: string | undefined;
  readonly at: Date;
  /** As it was ranked: `model` is the model that serves it. */
  readonly request: RouteRequest;
  readonly ranking: Ranking;
  readonly snapshotVersion: number;
  /** The model that the client asked for; `request.model` unless told. */
  readonly asked?: ModelKey;
  readonly caller?: Caller;
  /** In the line, ms. */
  readonly waitedMs?: number;
  readonly waitedFor?: WaitReason | undefined;
  readonly edits?: readonly BodyEdit[];
  /** On the first node. */
  readonly company?: Company | undefined;
  /** No node gets it; the ranking says what stood against each. */
  readonly refusal?: Refusal;
}

/** A decision while its request runs, and for as long as it is remembered. Owned by the use cases. */
export class Decision {
  readonly id: string;
  readonly requestId: string | undefined;
  readonly at: Date;
  readonly request: RouteRequest;
  readonly ranking: Ranking;
  readonly snapshotVersion: number;
  readonly asked: ModelKey;
  readonly caller: Caller | undefined;
  readonly waitedMs: number;
  readonly waitedFor: WaitReason | undefined;
  readonly edits: readonly BodyEdit[];
  readonly refusal: Refusal | undefined;
  /** On the node that it was last sent to. */
  company: Company | undefined;
  /** Monotonic ms at which the client's stream ended; undefined while it runs. */
  finishedAt: number | undefined;
  outcome: Outcome | undefined;
  #failures: Map<NodeId, FailureReason> | undefined;

  constructor(fields: DecisionFields) {
    this.id = fields.id;
    this.requestId = fields.requestId;
    this.at = fields.at;
    this.request = fields.request;
    this.ranking = fields.ranking;
    this.snapshotVersion = fields.snapshotVersion;
    this.asked = fields.asked ?? fields.request.model.key;
    this.caller = fields.caller;
    this.waitedMs = fields.waitedMs ?? 0;
    this.waitedFor = fields.waitedFor;
    this.edits = fields.edits ?? [];
    this.refusal = fields.refusal;
    this.company = fields.company;
  }

  nodeAt(address: string): RankedNode | undefined {
    return this.ranking.nodes.find((node) => node.address === address);
  }

  /** The node that Envoy tries after the one given; undefined at the end of the list. */
  nodeAfter(node: NodeId): RankedNode | undefined {
    const index = this.ranking.nodes.findIndex((ranked) => ranked.id === node);
    return index < 0 ? undefined : this.ranking.nodes[index + 1];
  }

  /** True the first time: both logs tell of an answer that broke off, in either order, and it is one failure. */
  noteFailure(node: NodeId, reason: FailureReason): boolean {
    if (this.#failures?.has(node)) return false;
    this.#failures ??= new Map();
    this.#failures.set(node, reason);
    return true;
  }

  /** Nodes on which it failed, in the order in which that was heard, and why. */
  get failures(): Iterable<readonly [NodeId, FailureReason]> {
    return this.#failures ?? [];
  }

  toRecord(): DecisionRecord {
    return decisionRecord(this);
  }
}

/** Decisions whose requests run, the last `capacity` of all, and as many refusals: a flood of those drives out no decision. */
export class DecisionLog {
  readonly #open = new Map<string, Decision>();
  readonly #placed: Recent<Decision>;
  readonly #refused: Recent<Decision>;

  constructor(capacity: number) {
    this.#placed = new Recent(capacity);
    this.#refused = new Recent(capacity);
  }

  /** A request is on its way. */
  add(decision: Decision): void {
    this.#open.set(decision.id, decision);
    this.#placed.add(decision);
  }

  /** No node gets the request. */
  addRefused(decision: Decision): void {
    this.#refused.add(decision);
  }

  find(id: string): Decision | undefined {
    return this.#open.get(id) ?? this.#placed.find(id) ?? this.#refused.find(id);
  }

  /** Its outcome is known: only the last ones are remembered now. */
  close(id: string): void {
    this.#open.delete(id);
  }

  /** Forgets decisions whose stream ended before `before` and whose access log never came (Envoy or the log was lost). */
  dropFinishedBefore(before: number): number {
    let dropped = 0;
    for (const decision of this.#open.values()) {
      if (decision.finishedAt === undefined || decision.finishedAt >= before) continue;
      this.#open.delete(decision.id);
      dropped += 1;
    }
    return dropped;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Newest first. */
  recent(limit: number): DecisionRecord[] {
    const latest = [...this.#placed.newest(limit), ...this.#refused.newest(limit)];
    latest.sort((a, b) => b.at.getTime() - a.at.getTime());
    return latest.slice(0, limit).map((decision) => decision.toRecord());
  }
}
