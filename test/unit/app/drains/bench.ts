import { Drains } from '../../../../src/app/drains/drains.ts';
import { Fleet } from '../../../../src/app/fleet.ts';
import { Registry } from '../../../../src/app/registry/node-registry.ts';
import { deriveNodeName, parseNodeUrl } from '../../../../src/config/node-url.ts';
import { DEFAULT_HEALTH } from '../../../../src/fleet/params.ts';
import type { DrainCause, NodeId, NodeSpec } from '../../../../src/fleet/types.ts';
import type { Store } from '../../../../src/store/contract.ts';
import { MemoryStore } from '../../../../src/store/memory.ts';
import type { FakeClock } from '../../../support/fake-clock.ts';
import { MemoryLog } from '../../../support/memory-log.ts';
import { spec } from '../../fleet/builders.ts';

/** The part of the store that drains and the registry use. */
export type DocumentStore = Pick<
  Store,
  'isShared' | 'state' | 'documents' | 'putDocument' | 'deleteDocument' | 'publish' | 'subscribe'
>;

/** One replica as far as drains go: the real fleet, registry and drains over a store that others may share. */
export class DrainBench {
  readonly log = new MemoryLog();
  readonly fleet: Fleet;
  readonly registry: Registry;
  readonly drains: Drains;
  /** Running requests of all replicas, as the ledger would know them. */
  readonly inflight = new Map<NodeId, number>();
  readonly #stop = new AbortController();
  readonly #clock: FakeClock;

  constructor(clock: FakeClock, store: DocumentStore, configured: readonly NodeSpec[], replica = 'me') {
    this.#clock = clock;
    const { log } = this;
    this.registry = new Registry(
      {
        store,
        replica,
        clock,
        log,
        policy: () => ({ trust: 'lan', maxNodes: 100, maxAgents: 100 }),
        probe: async ({ url }) => ({ ips: [url.host] }),
        deriveName: deriveNodeName,
        parseUrl: (text) => {
          const result = parseNodeUrl(text);
          return 'url' in result ? result.url : undefined;
        },
        hasRequests: (id) => this.running(id) > 0,
        nodeAt: () => undefined,
      },
      configured,
    );
    this.fleet = new Fleet(this.registry.members(), DEFAULT_HEALTH, clock);
    this.registry.onMembers(() => this.fleet.replaceNodes(this.registry.members(), DEFAULT_HEALTH));
    this.drains = new Drains({
      store,
      replica,
      fleet: this.fleet,
      registry: this.registry,
      inflight: (id) => this.running(id),
      clock,
      log,
    });
  }

  async start(): Promise<this> {
    await this.registry.load();
    await this.drains.load();
    void this.registry.run(this.#stop.signal);
    void this.drains.run(this.#stop.signal);
    await this.#clock.advance(1_000);
    return this;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#clock.advance(1);
  }

  /** A node that a source names; a member a moment later. */
  async find(id: NodeId, host = '10.9.0.1'): Promise<void> {
    const url = { scheme: 'http', host, port: 11_434 } as const;
    this.registry.found('file:x', [{ name: id, url, source: 'file', identity: undefined, labels: {} }]);
    await this.#clock.advance(1_000);
  }

  status(id: NodeId): string | undefined {
    return this.fleet.snapshot().byId.get(id)?.status;
  }

  causes(id: NodeId): DrainCause[] {
    return [...(this.fleet.nodes.get(id)?.drains.keys() ?? [])];
  }

  running(id: NodeId): number {
    return this.inflight.get(id) ?? 0;
  }
}

/** The same store, but for some methods. */
export function storeWith(store: DocumentStore, fields: Partial<DocumentStore>): DocumentStore {
  return {
    isShared: store.isShared,
    state: store.state,
    documents: (kind) => store.documents(kind),
    putDocument: (kind, id, value) => store.putDocument(kind, id, value),
    deleteDocument: (kind, id) => store.deleteDocument(kind, id),
    publish: (message) => store.publish(message),
    subscribe: (replica, listener) => store.subscribe(replica, listener),
    ...fields,
  };
}

export function aSharedStore(clock: FakeClock): MemoryStore {
  return new MemoryStore(clock, { isShared: true });
}

export function configured(...ids: readonly NodeId[]): NodeSpec[] {
  return ids.map((id, i) => spec(id, { url: { scheme: 'http', host: `10.0.0.${i + 1}`, port: 11_434 } }));
}
