import type { ModelOnDisk, NodeId, Observation, ResidentModel } from '../../fleet/types.ts';
import type { ReplicaId, Store, StoreMessage } from '../../store/contract.ts';
import type { Fleet } from '../fleet.ts';
import type { Clock } from '../ports.ts';
import { type News, observationsSchema } from './shared-schema.ts';

/** How long news may wait for company; failures do not wait. */
const COALESCE_MS = 50;
const AT_ONCE_MS = 1;
/** Of one message: items, and models in their lists. The store refuses messages of more than a mebibyte. */
const MAX_ITEMS = 500;
const MAX_MODELS = 1_000;
/** Beyond this, news are dropped: the lists come again in full with the next polls. */
const MAX_WAITING = 20_000;

/** News that no regular look at a node has brought. */
const NO_POLLS: ReadonlySet<News['kind']> = new Set([
  'attempt_failed',
  'attempt_served',
  'capabilities',
  'gpu',
]);

type List = 'resident' | 'tags';

export interface SharedObservationsOptions {
  readonly store: Store;
  readonly replica: ReplicaId;
  readonly fleet: Fleet;
  readonly clock: Clock;
  /** Another replica has polled the node just now. */
  readonly onPolledElsewhere: (node: NodeId, by: ReplicaId) => void;
  /** Another replica has heard something of a node. */
  readonly onHeard?: (node: NodeId, observation: Observation) => void;
}

interface Received {
  readonly resident?: { readonly revision: string; readonly models: readonly ResidentModel[] };
  readonly tags?: { readonly revision: string; readonly models: readonly ModelOnDisk[] };
}

/**
 * What one replica sees of a node, all replicas reduce alike. Lists of models travel when they have changed; otherwise
 * it is told that they are the same. Lost messages mend themselves: a reader that does not have the list asks for it.
 */
export class SharedObservations {
  readonly #options: SharedObservationsOptions;
  readonly #waiting: [NodeId, News][] = [];
  readonly #missed = new Set<NodeId>();
  /** By node and list: what was sent last, and under which revision. */
  readonly #sent = new Map<string, { readonly models: unknown; readonly revision: string }>();
  readonly #received = new Map<NodeId, Received>();
  #sequence = 0;
  #flushAt = Number.POSITIVE_INFINITY;
  #cancelFlush: () => void = () => {};
  #others: readonly ReplicaId[] = [];
  #unsubscribe: () => void = () => {};

  constructor(options: SharedObservationsOptions) {
    this.#options = options;
  }

  start(): void {
    const { store, replica } = this.#options;
    if (store.isShared) this.#unsubscribe = store.subscribe(replica, (message) => this.#receive(message));
  }

  stop(): void {
    this.#unsubscribe();
    this.#cancelFlush();
    this.#waiting.length = 0;
  }

  /** Nobody is told anything where nobody listens. Whoever joins gets every list in full. */
  setOthers(others: readonly ReplicaId[]): void {
    if (others.some((id) => !this.#others.includes(id))) this.#sent.clear();
    this.#others = others;
    if (others.length === 0) this.#waiting.length = 0;
    this.#forgetLeft();
  }

  /** Seen by this replica: reduced here at once, and told to the others. */
  observe(node: NodeId, observation: Observation): void {
    const { fleet } = this.#options;
    fleet.observe(node, observation);
    this.#tell(node, observation);
  }

  #tell(node: NodeId, observation: Observation): void {
    if (this.#others.length === 0 || !this.#options.fleet.nodes.has(node)) return;
    const news = this.#newsOf(node, observation);
    if (news === undefined) return;
    this.#waiting.push([node, news]);
    if (this.#waiting.length > MAX_WAITING) this.#forget();
    const isUrgent = news.kind === 'attempt_failed' || news.kind === 'poll_failed' || news.kind === 'address';
    this.#flushIn(isUrgent ? AT_ONCE_MS : COALESCE_MS);
  }

  #forgetLeft(): void {
    const { nodes } = this.#options.fleet;
    if (this.#received.size <= nodes.size && this.#sent.size <= 2 * nodes.size) return;
    for (const id of this.#received.keys()) if (!nodes.has(id)) this.#received.delete(id);
    for (const key of this.#sent.keys())
      if (!nodes.has(key.slice(key.indexOf(' ') + 1))) this.#sent.delete(key);
  }

  #newsOf(node: NodeId, observation: Observation): News | undefined {
    if (observation.kind === 'drains') return undefined;
    if (observation.kind !== 'resident' && observation.kind !== 'tags') return mutable(observation);
    const { kind, rttMs } = observation;
    const record = this.#options.fleet.nodes.get(node);
    // Both keep their identity for as long as the node says the same.
    const models = kind === 'resident' ? record?.resident : record?.models;
    const sent = this.#sent.get(`${kind} ${node}`);
    if (sent !== undefined && sent.models === models)
      return { kind: 'same', list: kind, rttMs, revision: sent.revision };
    this.#sequence += 1;
    const revision = `${this.#options.replica}-${this.#sequence.toString(36)}`;
    this.#sent.set(`${kind} ${node}`, { models, revision });
    return mutable({ ...observation, revision });
  }

  #flushIn(delayMs: number): void {
    const { clock } = this.#options;
    const at = clock.now() + delayMs;
    if (at >= this.#flushAt) return;
    this.#cancelFlush();
    this.#flushAt = at;
    this.#cancelFlush = clock.after(delayMs, () => this.#flush());
  }

  #flush(): void {
    this.#flushAt = Number.POSITIVE_INFINITY;
    const missed = [...this.#missed];
    this.#missed.clear();
    if (missed.length > 0) this.#publish({ missed });
    while (this.#waiting.length > 0) this.#publish({ news: this.#waiting.splice(0, this.#fitting()) });
  }

  #publish(body: unknown): void {
    const { store, replica } = this.#options;
    store.publish({ from: replica, to: undefined, topic: 'observations', body }).catch(() => this.#forget());
  }

  /** How many of those that wait go into one message. */
  #fitting(): number {
    let models = 0;
    for (const [index, [, news]] of this.#waiting.entries()) {
      if ('models' in news) models += news.models.length;
      if (index > 0 && (index >= MAX_ITEMS || models > MAX_MODELS)) return index;
    }
    return this.#waiting.length;
  }

  /** What the others have is not known any more. */
  #forget(): void {
    this.#waiting.length = 0;
    this.#sent.clear();
  }

  #receive({ topic, from, body }: StoreMessage): void {
    if (topic !== 'observations' || from === this.#options.replica) return;
    const parsed = observationsSchema.safeParse(body);
    if (!parsed.success) return;
    for (const node of parsed.data.missed) this.#sendAgain(node);
    for (const [node, news] of parsed.data.news) this.#reduce(node, news, from);
  }

  /** Both lists in full: what is in memory with the next poll, which is soon; what is on disk, asked for seldom, now. */
  #sendAgain(node: NodeId): void {
    const isOurs = this.#sent.delete(`resident ${node}`);
    this.#sent.delete(`tags ${node}`);
    const record = this.#options.fleet.nodes.get(node);
    if (!isOurs || record?.seenAt.tags === undefined) return;
    this.#tell(node, { kind: 'tags', models: [...record.models.values()], rttMs: record.rttMs ?? 0 });
  }

  #reduce(node: NodeId, news: News, from: ReplicaId): void {
    const { fleet, onHeard, onPolledElsewhere } = this.#options;
    if (!fleet.nodes.has(node)) return;
    if (!NO_POLLS.has(news.kind)) onPolledElsewhere(node, from);
    const observation = this.#observationOf(node, news);
    if (observation === undefined) return;
    fleet.observe(node, observation);
    onHeard?.(node, observation);
    // We came after its models on disk were told: they are told again only with the next look at them.
    if (observation.kind === 'resident' && fleet.nodes.get(node)?.seenAt.tags === undefined) this.#miss(node);
  }

  #miss(node: NodeId): void {
    this.#missed.add(node);
    this.#flushIn(COALESCE_MS);
  }

  #observationOf(node: NodeId, news: News): Observation | undefined {
    switch (news.kind) {
      case 'resident': {
        const { models, rttMs, revision } = news;
        this.#received.set(node, { ...this.#received.get(node), resident: { revision, models } });
        return { kind: 'resident', models, rttMs };
      }
      case 'tags': {
        const { models, rttMs, revision } = news;
        this.#received.set(node, { ...this.#received.get(node), tags: { revision, models } });
        return { kind: 'tags', models, rttMs };
      }
      case 'same':
        return this.#sameAgain(node, news.list, news.revision, news.rttMs);
      default:
        return news;
    }
  }

  #sameAgain(node: NodeId, list: List, revision: string, rttMs: number): Observation | undefined {
    const { resident, tags } = this.#received.get(node) ?? {};
    if (list === 'resident' && resident?.revision === revision)
      return { kind: 'resident', models: resident.models, rttMs };
    if (list === 'tags' && tags?.revision === revision) return { kind: 'tags', models: tags.models, rttMs };
    this.#miss(node);
    return undefined;
  }
}

/** Only written out as JSON: nobody changes it. */
function mutable(news: unknown): News {
  return news as News;
}
