import type { LeaseLedger } from '../fleet/ledger.ts';
import type { ModelKey, NodeId } from '../fleet/types.ts';
import type { Lease, Store } from '../store/contract.ts';
import type { Log } from './log.ts';
import type { Clock } from './ports.ts';

/** A replica that misses three heartbeats loses its leases. */
const HEARTBEAT_MS = 1000;
const LEASE_TTL_MS = 3 * HEARTBEAT_MS;

/**
 * Tells the store of this replica's leases and the ledger of the others'. Nothing here is awaited by a request: a store
 * that fails costs the view of the other replicas, not a request.
 */
export class SharedLeases {
  readonly #store: Store;
  readonly #replica: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #held = new Map<string, Lease>();
  #isStoreUp = true;

  constructor(store: Store, replica: string, clock: Clock, log: Log) {
    this.#store = store;
    this.#replica = replica;
    this.#clock = clock;
    this.#log = log;
  }

  taken(id: string, node: NodeId, model: ModelKey): void {
    const lease = { id, node, model, replica: this.#replica };
    this.#held.set(id, lease);
    this.#tell(this.#store.putLease(lease, LEASE_TTL_MS));
  }

  moved(id: string, node: NodeId): void {
    const lease = this.#held.get(id);
    if (lease !== undefined) this.taken(id, node, lease.model);
  }

  released(id: string): void {
    this.#held.delete(id);
    this.#tell(this.#store.releaseLease(id));
  }

  /** Heartbeats and reads the other replicas' leases until `signal` aborts. */
  async run(ledger: LeaseLedger, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#store.heartbeat(this.#replica, LEASE_TTL_MS);
        ledger.setElsewhere(await this.#store.inflightElsewhere(this.#replica));
        this.#storeWorks();
      } catch (error) {
        this.#storeFails(error);
      }
      await this.#clock.sleep(HEARTBEAT_MS, signal);
    }
  }

  #tell(done: Promise<unknown>): void {
    done.catch((error: unknown) => this.#storeFails(error));
  }

  #storeFails(error: unknown): void {
    if (this.#isStoreUp)
      this.#log.warn({ err: error }, 'shared store fails; routing goes on with what this process knows');
    this.#isStoreUp = false;
  }

  #storeWorks(): void {
    if (!this.#isStoreUp) this.#log.info({}, 'shared store works again');
    this.#isStoreUp = true;
  }
}
