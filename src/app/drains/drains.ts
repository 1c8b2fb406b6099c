import type { Drain, DrainCause, NodeId } from '../../fleet/types.ts';
import type { Store } from '../../store/contract.ts';
import type { Fleet } from '../fleet.ts';
import type { Log } from '../log.ts';
import type { Clock } from '../ports.ts';
import { type DrainRequest, NodeAdminError, type NodeRegistry } from '../registry/registry-types.ts';
import { AgentDrains } from './agent-drains.ts';
import { type AgentCause, agentEntry, cleanNote, type DrainNews, readDrainNews } from './drain-documents.ts';
import { KeptAgentDrains } from './kept-agent-drains.ts';
import { OperatorDrains } from './operator-drains.ts';

const TICK_MS = 250;
/** The store is read again this often; a message of another replica brings that forward. */
const RESYNC_MS = 10_000;
const RETRY_MS = 1_000;
/** Up to so many drains are checked at every change of the fleet; more of them now and then. */
const FEW = 100;
const CHECK_MS = 100;
/** A node without requests for this long has none under way from a replica that heard of the drain late. */
const QUIET_MS = 2_000;

export interface DrainsOptions {
  readonly store: Pick<
    Store,
    'isShared' | 'state' | 'documents' | 'putDocument' | 'deleteDocument' | 'publish' | 'subscribe'
  >;
  readonly replica: string;
  readonly fleet: Pick<Fleet, 'nodes' | 'observe' | 'onEndpointChange'>;
  readonly registry: Pick<NodeRegistry, 'get' | 'list' | 'remove'>;
  /** Running requests on the node, of all replicas. */
  readonly inflight: (node: NodeId) => number;
  readonly clock: Clock;
  readonly log: Log;
}

const NONE: ReadonlyMap<DrainCause, Drain> = new Map();

/**
 * Which nodes drain, and why: the one place where an operator's word and the agents' come together (`drain: true` in the
 * configuration is part of the node itself). The fleet hears of every change, and again when a node comes back. A node
 * that shall be removed is, when its requests have ended or its time is up.
 */
export class Drains {
  readonly #options: DrainsOptions;
  readonly #operator: OperatorDrains;
  readonly #agents: AgentDrains;
  readonly #kept: KeptAgentDrains;
  readonly #merged = new Map<NodeId, ReadonlyMap<DrainCause, Drain>>();
  readonly #quietSince = new Map<NodeId, number>();
  readonly #removing = new Set<NodeId>();
  readonly #stuck = new Set<NodeId>();
  #isFeeding = false;
  #fedAt = Number.NEGATIVE_INFINITY;
  #isBehind = false;
  #isReading = false;

  constructor(options: DrainsOptions) {
    this.#options = options;
    this.#operator = new OperatorDrains(options);
    this.#agents = new AgentDrains(options.clock);
    this.#kept = new KeptAgentDrains({ store: options.store, agents: this.#agents });
    options.fleet.onEndpointChange(() => this.#feedAll());
  }

  /** Why the node drains; empty where it does not, or by its configuration only. */
  of(node: NodeId): ReadonlyMap<DrainCause, Drain> {
    return this.#merged.get(node) ?? NONE;
  }

  /** The node's agent wants it drained, or no longer. */
  set(node: NodeId, cause: DrainCause, drain: Drain | undefined): void {
    if (cause !== 'maintenance' && cause !== 'owner_hours') return;
    const cleaned = drain === undefined ? undefined : { ...drain, note: cleanNote(drain.note) };
    this.#agents.set(node, cause, cleaned);
    this.#kept.said(node);
    this.#tell({ kind: 'agent_drains', entries: [agentEntry(node, cause, cleaned)] });
    this.#merge(node);
  }

  /** An operator's word: kept in the store before it counts. Rejects with NodeAdminError. */
  async drain(node: NodeId, { note, removeAfterMs }: DrainRequest): Promise<void> {
    const { registry, clock } = this.#options;
    const known = registry.get(node);
    if (known === undefined || known.state === 'removed') throw unknownNode(node);
    if (removeAfterMs !== undefined && known.source === 'config') {
      throw new NodeAdminError(
        'refused',
        `node ${node} is in the configuration and cannot be removed here: drain it, and take it out of the file`,
      );
    }
    const now = clock.date();
    await this.#operator.put(node, {
      since: this.#operator.of(node)?.since ?? now.toISOString(),
      note: cleanNote(note),
      removeAt:
        removeAfterMs === undefined ? undefined : new Date(now.getTime() + removeAfterMs).toISOString(),
    });
    this.#quietSince.delete(node);
    this.#stuck.delete(node);
    this.#merge(node);
    this.#tell({ kind: 'drains' });
  }

  /** Ends what an operator ordered, a removal that waits included. Rejects with NodeAdminError. */
  async undrain(node: NodeId): Promise<void> {
    if (this.#operator.of(node) === undefined) throw this.#notDrained(node);
    await this.forget(node);
  }

  /** The node is out of the fleet for good: should it come back one day, it does not drain. */
  async forget(node: NodeId): Promise<void> {
    if (this.#operator.of(node) === undefined) return;
    await this.#operator.put(node, undefined);
    this.#merge(node);
    this.#tell({ kind: 'drains' });
  }

  /** Reads what is kept. A store that is down is said once; `run` tries again. */
  async load(): Promise<void> {
    for (const node of await this.#operator.sync()) this.#merge(node);
    const kept = await this.#kept.load().catch(() => []);
    for (const node of this.#agents.heard(kept)) this.#merge(node);
    await this.#kept.flush();
  }

  /** Keeps in step with the other replicas and removes what has drained, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, store, replica } = this.#options;
    const end = store.subscribe(replica, ({ topic, body }) => {
      if (topic === 'documents') this.#hear(readDrainNews(body));
    });
    let readAt = clock.now();
    while (!signal.aborted) {
      const pauseMs = this.#operator.isFailing ? RETRY_MS : RESYNC_MS;
      if (clock.now() - readAt >= pauseMs) {
        readAt = clock.now();
        await this.#catchUp();
      }
      for (const entries of this.#agents.dueRepeats())
        this.#tell({ kind: 'agent_drains', entries: [...entries] });
      for (const node of this.#agents.expire()) {
        this.#kept.expired(node);
        this.#merge(node);
      }
      this.#feedAll();
      await this.#removeDrained();
      await clock.sleep(TICK_MS, signal);
    }
    end();
  }

  /** One reading at a time; news that come during one are read after it. Never rejects. */
  async #catchUp(): Promise<void> {
    this.#isBehind = true;
    if (this.#isReading) return;
    this.#isReading = true;
    while (this.#isBehind) {
      this.#isBehind = false;
      await this.load();
    }
    this.#isReading = false;
  }

  #hear(news: DrainNews | undefined): void {
    if (news?.kind === 'drains') void this.#catchUp();
    if (news?.kind !== 'agent_drains') return;
    for (const node of this.#agents.heard(news.entries)) this.#merge(node);
  }

  /** Lost messages mend themselves: documents are read again, and agents' causes repeated. */
  #tell(body: DrainNews): void {
    const { store, replica } = this.#options;
    store.publish({ from: replica, to: undefined, topic: 'documents', body }).catch(() => {});
  }

  #merge(node: NodeId): void {
    const before = this.of(node);
    const drains = new Map<DrainCause, Drain>();
    const operator = this.#operator.of(node);
    if (operator !== undefined) drains.set('operator', operator);
    for (const [cause, { drain }] of this.#agents.of(node) ?? []) drains.set(cause, drain);
    if (drains.size > 0) this.#merged.set(node, drains);
    else this.#merged.delete(node);
    this.#logChange(node, before, drains);
    if (before.size > 0 || drains.size > 0) this.#feed(node, drains);
  }

  #feed(node: NodeId, drains: ReadonlyMap<DrainCause, Drain>): void {
    const record = this.#options.fleet.nodes.get(node);
    if (record === undefined || record.drains === drains) return;
    if (record.drains.size > 0 || drains.size > 0)
      this.#options.fleet.observe(node, { kind: 'drains', drains });
  }

  /** A node that left and returned, or that moved to another URL, knows nothing of its drains. */
  #feedAll(): void {
    if (this.#isFeeding || this.#merged.size === 0) return;
    const now = this.#options.clock.now();
    if (this.#merged.size > FEW && now - this.#fedAt < CHECK_MS) return;
    this.#fedAt = now;
    this.#isFeeding = true;
    for (const [node, drains] of this.#merged) this.#feed(node, drains);
    this.#isFeeding = false;
  }

  async #removeDrained(): Promise<void> {
    for (const node of [...this.#operator.nodes()]) {
      const removeAt = this.#operator.of(node)?.removeAt;
      const known = this.#options.registry.get(node);
      if (removeAt === undefined || known === undefined || this.#removing.has(node)) continue;
      if (known.state !== 'removed' && !this.#isDue(node, removeAt)) continue;
      this.#removing.add(node);
      await this.#remove(node, known.state === 'removed');
      this.#removing.delete(node);
    }
  }

  #isDue(node: NodeId, removeAt: string): boolean {
    const { clock, inflight } = this.#options;
    if (clock.date().getTime() >= Date.parse(removeAt)) return true;
    if (inflight(node) > 0) {
      this.#quietSince.delete(node);
      return false;
    }
    const since = this.#quietSince.get(node) ?? clock.now();
    this.#quietSince.set(node, since);
    return clock.now() - since >= QUIET_MS;
  }

  async #remove(node: NodeId, isGone: boolean): Promise<void> {
    const { registry, inflight, log } = this.#options;
    const left = inflight(node);
    try {
      if (!isGone) await registry.remove(node);
      await this.forget(node);
    } catch (error) {
      // Tried again; said once.
      if (!this.#stuck.has(node))
        log.warn({ err: error, node }, `node ${node} has drained and cannot be removed yet`);
      this.#stuck.add(node);
      return;
    }
    this.#stuck.delete(node);
    this.#quietSince.delete(node);
    if (isGone) return;
    const how = left === 0 ? 'its requests have ended' : `its time is up with ${left} requests still running`;
    log.info(
      { audit: 'node_removed', node, requests: left },
      `node ${node} has drained and is removed: ${how}`,
    );
  }

  #notDrained(node: NodeId): NodeAdminError {
    const { registry } = this.#options;
    const known = registry.get(node);
    if (known === undefined) return unknownNode(node);
    if (known.spec.drain && known.source === 'config')
      return new NodeAdminError(
        'conflict',
        `node ${node} is drained by its configuration: take "drain: true" out of the file`,
      );
    const [cause] = this.of(node).keys();
    if (cause !== undefined)
      return new NodeAdminError(
        'conflict',
        `node ${node} is drained by its agent (${cause}); that ends there`,
      );
    return new NodeAdminError('conflict', `node ${node} is not drained`);
  }

  #logChange(
    node: NodeId,
    before: ReadonlyMap<DrainCause, Drain>,
    after: ReadonlyMap<DrainCause, Drain>,
  ): void {
    const { log } = this.#options;
    for (const [cause, { note, removeAt }] of after) {
      if (before.has(cause)) continue;
      log.info({ node, cause, note, removeAt }, `node ${node} drains (${cause}): it gets no new requests`);
    }
    for (const cause of before.keys()) {
      if (after.has(cause)) continue;
      const rest = [...after.keys()];
      const what = rest.length === 0 ? 'drains no longer' : `goes on draining (${rest.join(', ')})`;
      log.info({ node, cause }, `node ${node} ${what}`);
    }
  }
}

export function unknownNode(node: NodeId): NodeAdminError {
  return new NodeAdminError(
    'unknown_node',
    `no node is named ${node}; warmpath nodes list shows those there are`,
  );
}

export type { AgentCause };
