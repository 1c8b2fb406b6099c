import type { LeaseLedger } from '../../fleet/ledger.ts';
import { Tally } from '../../fleet/tally.ts';
import type { ModelKey, NodeId } from '../../fleet/types.ts';
import type { Inflight } from '../../routing/types.ts';
import type { Lease } from '../../store/contract.ts';

/** Slots are promised once, over all control planes that share a store. */
export interface SlotClaims {
  /**
   * Claims a slot of which `cap` are taken at once at most. Undefined: nobody else can take it, nothing need be asked.
   * Never rejects, and settles within a bounded time.
   */
  claim(lease: Lease, cap: number): Promise<boolean> | undefined;
}

/** The ledger's counts, with the slots that are being claimed: nobody here may take them meanwhile. */
export class ClaimedInflight implements Inflight {
  readonly #ledger: LeaseLedger;
  readonly #claimed = new Tally();
  #count = 0;

  constructor(ledger: LeaseLedger) {
    this.#ledger = ledger;
  }

  /** What a ranking should look at now. */
  get current(): Inflight {
    return this.#count === 0 ? this.#ledger : this;
  }

  add(node: NodeId, model: ModelKey): void {
    this.#claimed.add(node, model, 1);
    this.#count += 1;
  }

  remove(node: NodeId, model: ModelKey): void {
    this.#claimed.add(node, model, -1);
    this.#count -= 1;
  }

  onNode(node: NodeId): number {
    return this.#ledger.onNode(node) + this.#claimed.onNode(node);
  }

  onModel(node: NodeId, model: ModelKey): number {
    return this.#ledger.onModel(node, model) + this.#claimed.onModel(node, model);
  }

  *nodesRunning(model: ModelKey): Iterable<NodeId> {
    yield* this.#ledger.nodesRunning(model);
    yield* this.#claimed.nodesRunning(model);
  }

  expectedEnds(node: NodeId, model: ModelKey): readonly number[] {
    return this.#ledger.expectedEnds(node, model);
  }
}
