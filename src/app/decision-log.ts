import type { NodeId } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import type { RankedNode, Ranking } from '../routing/types.ts';
import type { DecisionRecord, Outcome } from './types.ts';

/** A decision while its request runs, and for as long as it is remembered. Owned by the use cases. */
export class Decision {
  readonly id: string;
  readonly at: Date;
  readonly request: RouteRequest;
  readonly ranking: Ranking;
  readonly snapshotVersion: number;
  /** Requests of ours on the first node and model, this one included. */
  readonly concurrency: number;
  /** Monotonic ms at which the client's stream ended; undefined while it runs. */
  finishedAt: number | undefined;
  outcome: Outcome | undefined;
  #failedOn: Set<NodeId> | undefined;

  constructor(fields: {
    id: string;
    at: Date;
    request: RouteRequest;
    ranking: Ranking;
    snapshotVersion: number;
    concurrency: number;
  }) {
    this.id = fields.id;
    this.at = fields.at;
    this.request = fields.request;
    this.ranking = fields.ranking;
    this.snapshotVersion = fields.snapshotVersion;
    this.concurrency = fields.concurrency;
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
  noteFailure(node: NodeId): boolean {
    if (this.#failedOn?.has(node)) return false;
    this.#failedOn ??= new Set();
    this.#failedOn.add(node);
    return true;
  }

  toRecord(): DecisionRecord {
    const { endpoint, model, bodyBytes } = this.request;
    return {
      id: this.id,
      at: this.at.toISOString(),
      path: endpoint.path,
      family: endpoint.family,
      operation: endpoint.operation,
      model: model.key,
      bodyBytes,
      snapshotVersion: this.snapshotVersion,
      ranking: this.ranking,
      outcome: this.outcome,
    };
  }
}

/** Decisions whose requests run, and the last `capacity` of all. */
export class DecisionLog {
  readonly #capacity: number;
  readonly #open = new Map<string, Decision>();
  readonly #ring: (Decision | undefined)[];
  readonly #recent = new Map<string, Decision>();
  #next = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#ring = new Array(capacity);
  }

  add(decision: Decision): void {
    this.#open.set(decision.id, decision);
    const evicted = this.#ring[this.#next];
    if (evicted !== undefined) this.#recent.delete(evicted.id);
    this.#ring[this.#next] = decision;
    this.#recent.set(decision.id, decision);
    this.#next = (this.#next + 1) % this.#capacity;
  }

  find(id: string): Decision | undefined {
    return this.#open.get(id) ?? this.#recent.get(id);
  }

  /** Its outcome is known: only the ring remembers it now. */
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
    const records: DecisionRecord[] = [];
    for (let back = 1; back <= this.#capacity && records.length < limit; back += 1) {
      const decision = this.#ring[(this.#next - back + this.#capacity) % this.#capacity];
      if (decision === undefined) break;
      records.push(decision.toRecord());
    }
    return records;
  }
}
