import type { NodeId, NodeSpec } from '../../fleet/types.ts';
import { formatHostPort } from '../host-port.ts';
import { type Entry, identityKey, isSameCandidate, placeOf, registeredNode } from './registry-entry.ts';
import { configuredFor, knownAgent } from './registry-join.ts';
import type { NodeRegistryOptions, ProbeAnswer } from './registry-options.ts';
import { joinProblem } from './registry-policy.ts';
import { Prober } from './registry-prober.ts';
import { RegistryReplica } from './registry-replica.ts';
import { ShrinkHold } from './registry-shrink.ts';
import { isInFleet, isMoving, NodeTable } from './registry-table.ts';
import { type Candidate, NodeAdminError, type NodeRegistry, type RegisteredNode } from './registry-types.ts';

/** The source under which agents register themselves. */
export const AGENT_KEY = 'agent';
/** Nodes of one source that are kept, over those that may be members. */
const KEPT_PER_MEMBER = 2;
/** That a source names too many is said this often at most. */
const SAY_FULL_MS = 3_600_000;
const TICK_MS = 250;
/** A node that is gone stays this long at least, so that every Envoy has heard; with requests this long at most. */
const GONE_MIN_MS = 1_000;
const GONE_MAX_MS = 600_000;
/** Changes that come together are told together. */
const TELL_MS = 10;

/** All known nodes and which of them make up the fleet. Synchronous but for what needs the store; `run` does the rest. */
export class Registry implements NodeRegistry {
  readonly #options: NodeRegistryOptions;
  readonly #table: NodeTable;
  readonly #replica: RegistryReplica;
  readonly #listeners = new Set<() => void>();
  readonly #hold: ShrinkHold;
  readonly #prober: Prober;
  #told: readonly NodeSpec[] = [];
  #members: readonly NodeSpec[] | undefined;
  #configuredAt: string;
  #isTelling = false;
  readonly #saidFullAt = new Map<string, number>();

  constructor(options: NodeRegistryOptions, configured: readonly NodeSpec[]) {
    this.#options = options;
    this.#table = new NodeTable(options.deriveName);
    this.#table.configure(configured);
    this.#told = configured;
    this.#configuredAt = options.clock.date().toISOString();
    this.#hold = new ShrinkHold(options.clock, options.log);
    this.#prober = new Prober(options, this.#table, (...answered) => this.#judge(...answered));
    this.#replica = new RegistryReplica(
      options,
      this.#table,
      () => this.#changed(),
      (entry) => this.#leave(entry),
    );
  }

  list(): readonly RegisteredNode[] {
    const configured = this.#table.configured.map((spec) => this.#configuredNode(spec));
    return [...configured, ...[...this.#table.entries.values()].map(registeredNode)];
  }

  get(id: NodeId): RegisteredNode | undefined {
    const spec = this.#table.configuredNode(id);
    if (spec !== undefined) return this.#configuredNode(spec);
    const entry = this.#table.byId(id);
    return entry === undefined ? undefined : registeredNode(entry);
  }

  members(): readonly NodeSpec[] {
    this.#members ??= this.#table.specs();
    return this.#members;
  }

  onMembers(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  configure(nodes: readonly NodeSpec[]): void {
    this.#configuredAt = this.#options.clock.date().toISOString();
    const places = new Set(nodes.map(({ url }) => placeOf(url)));
    for (const entry of this.#table.configure(nodes)) this.#touch(entry);
    for (const entry of this.#table.members()) {
      if (entry.active !== undefined && places.has(placeOf(entry.active.url)))
        this.#demote(entry, 'a configured node has its address');
    }
    this.#prober.askAnew();
    this.#changed();
    this.#tell();
  }

  found(key: string, candidates: readonly Candidate[]): void {
    const named = new Map(candidates.map((candidate) => [identityKey(candidate), candidate]));
    const unnamed = [...this.#table.entries.values()].filter(
      (entry) => !named.has(entry.key) && this.#isOf(entry, key),
    );
    // First, so that those that come have room.
    for (const entry of unnamed) if (entry.state !== 'member') this.#unname(entry, key);
    for (const [identity, candidate] of named) this.#see(key, identity, candidate);
    if (!this.#isHeld(key, named)) for (const entry of unnamed) this.#unname(entry, key);
    this.#changed();
  }

  /** The source itself is no longer configured: what it named leaves. */
  forget(key: string): void {
    this.#hold.forget(key);
    for (const entry of [...this.#table.entries.values()])
      if (this.#isOf(entry, key)) this.#unname(entry, key);
    this.#changed();
  }

  /** Forgets the sources that are none of these; for members that a restart brought back. */
  keepSources(keys: ReadonlySet<string>): void {
    const known = new Set([...this.#table.entries.values()].map(({ sourceKey }) => sourceKey));
    for (const key of known) if (key !== AGENT_KEY && !keys.has(key)) this.forget(key);
  }

  join(candidate: Candidate): RegisteredNode {
    const { identity } = candidate;
    if (identity === undefined) throw new NodeAdminError('refused', 'an agent must have an identity');
    const configured = configuredFor(this.#table, candidate, (id) => this.#replica.ownerOf(id));
    if (configured !== undefined) {
      this.#replica.own(configured.id, identity);
      return this.#configuredNode(configured);
    }
    const known = knownAgent(this.#table, candidate);
    if (known === undefined) this.#refuseWhereFull();
    const entry = this.#see(AGENT_KEY, identityKey(candidate), candidate);
    if (entry === undefined) throw new NodeAdminError('refused', 'no more nodes may register');
    const wanted = this.#table.wantedName(candidate);
    if (entry.id !== wanted && this.#table.byId(wanted) === undefined) this.#table.rename(entry, wanted);
    this.#touch(entry);
    this.#changed();
    return registeredNode(entry);
  }

  async approve(id: NodeId): Promise<RegisteredNode> {
    const entry = this.#discovered(id, 'needs no approval');
    await this.#replica.decide(entry, { kind: 'approved', at: this.#options.clock.date().toISOString() });
    this.#options.log.info({ audit: 'node_approved', node: id }, `node ${id} was approved by an operator`);
    this.#changed();
    return registeredNode(entry);
  }

  async remove(id: NodeId): Promise<void> {
    const entry = this.#discovered(id, 'cannot be removed here: take it out of the configuration file');
    await this.#replica.decide(entry, { kind: 'removed', at: this.#options.clock.date().toISOString() });
    this.#options.log.info({ audit: 'node_removed', node: id }, `node ${id} was removed by an operator`);
    this.#changed();
    this.#tell();
  }

  /** What is kept in the store, as far as it answers. Members of the time before a restart are members again. */
  async load(): Promise<void> {
    await this.#replica.sync();
    this.#changed();
  }

  /** Probes candidates, ends what is gone, keeps the store and the other replicas in step. Ends with `signal`. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const replicating = this.#replica.run(signal);
    while (!signal.aborted) {
      this.#endGone();
      this.#prober.askDue(signal);
      await clock.sleep(TICK_MS, signal);
    }
    await Promise.all([this.#prober.settled(), replicating]);
  }

  #see(key: string, identity: string, candidate: Candidate): Entry | undefined {
    const { clock } = this.#options;
    const now = clock.now();
    const at = clock.date().toISOString();
    const known = this.#table.entries.get(identity);
    if (known === undefined) return this.#meet(key, identity, candidate, now, at);
    known.lastSeenAt = at;
    known.namedBy.add(key);
    const isNews = !isSameCandidate(known.latest, candidate);
    known.latest = candidate;
    if (known.state === 'gone') {
      known.state = 'member';
      this.#touch(known);
    }
    if (!isNews) return known;
    if (isMoving(known) || known.state === 'candidate') {
      known.nextProbeAt = now;
      known.failedProbes = 0;
    } else if (known.active !== undefined && !isSameCandidate(known.active, candidate)) {
      // Labels and weights need no proof.
      known.active = candidate;
      this.#touch(known);
    }
    return known;
  }

  #meet(key: string, identity: string, candidate: Candidate, now: number, at: string): Entry | undefined {
    if (!this.#hasRoom(key)) return undefined;
    const entry: Entry = {
      key: identity,
      id: this.#table.freeName(candidate),
      state: 'candidate',
      decision: undefined,
      latest: candidate,
      active: undefined,
      namedBy: new Set([key]),
      sourceKey: key,
      problem: 'is being asked whether it is an Ollama',
      ips: [],
      firstSeenAt: at,
      lastSeenAt: at,
      changedAt: at,
      nextProbeAt: now,
      failedProbes: 0,
      isProbing: false,
      goneAt: 0,
    };
    this.#table.add(entry);
    return entry;
  }

  /** Bounds what strangers can make us remember; one source that is flooded takes no room from the others. */
  #hasRoom(key: string): boolean {
    const { clock, log, policy } = this.#options;
    if (this.#table.countOf(key) < policy().maxNodes * KEPT_PER_MEMBER) return true;
    const now = clock.now();
    if (now - (this.#saidFullAt.get(key) ?? Number.NEGATIVE_INFINITY) < SAY_FULL_MS) return false;
    this.#saidFullAt.set(key, now);
    log.warn(
      { source: key, nodes: this.#table.countOf(key) },
      `${key} names more nodes than are kept; further ones are ignored. If they are yours, raise discovery.maxNodes`,
    );
    return false;
  }

  /** Whether what a source says may be a mistake: then its members stay. */
  #isHeld(key: string, named: ReadonlyMap<string, unknown>): boolean {
    const members = this.#table.members().filter((e) => e.state === 'member' && this.#isOf(e, key));
    const lost = members.filter((entry) => !named.has(entry.key)).length;
    return this.#hold.isHeld(key, { members: members.length, named: named.size, lost });
  }

  #isOf(entry: Entry, key: string): boolean {
    // What the store brought back has been named by nobody yet.
    return entry.namedBy.has(key) || (entry.namedBy.size === 0 && entry.sourceKey === key);
  }

  #unname(entry: Entry, key: string): void {
    entry.namedBy.delete(key);
    if (entry.namedBy.size > 0 || entry.state === 'removed' || entry.state === 'gone') return;
    if (entry.state === 'member') this.#leave(entry);
    else if (entry.decision === undefined) this.#table.delete(entry);
    else entry.problem = 'is not to be found at present';
  }

  #leave(entry: Entry): void {
    const { clock, log } = this.#options;
    if (entry.state !== 'member') return;
    entry.state = 'gone';
    entry.goneAt = clock.now();
    log.info(
      { node: entry.id, source: entry.sourceKey },
      `node ${entry.id} is no longer named by its source; it leaves when its requests have ended`,
    );
  }

  #endGone(): void {
    const { clock, hasRequests, log } = this.#options;
    for (const entry of this.#table.members()) {
      const age = clock.now() - entry.goneAt;
      if (entry.state !== 'gone' || age < GONE_MIN_MS) continue;
      if (age < GONE_MAX_MS && hasRequests(entry.id)) continue;
      this.#table.delete(entry);
      this.#replica.left(entry);
      log.info({ audit: 'node_left', node: entry.id }, `node ${entry.id} has left the fleet`);
      this.#changed();
    }
  }

  /** Lets a proven node in, or says why not. */
  #judge(entry: Entry, candidate: Candidate, answer: ProbeAnswer): string | undefined {
    if ('problem' in answer) {
      // It is not where it says, and where it was stands another: then it is nowhere.
      if (isInFleet(entry) && this.#table.displacedBy(entry).length > 0) this.#demote(entry, answer.problem);
      return answer.problem;
    }
    const holder = this.#table.clash(entry, candidate, answer.ips, this.#options.nodeAt);
    if (holder !== undefined) return `has the same address as node ${holder}; remove one of them`;
    const isMember = isInFleet(entry);
    const policy = this.#options.policy();
    const refusal = isMember ? undefined : joinProblem(entry, answer.ips, policy);
    if (refusal !== undefined) return refusal;
    const isFull = (): boolean => this.#table.members().length >= policy.maxNodes;
    if (!isMember && this.#table.entries.size >= policy.maxNodes && isFull())
      return `there are ${policy.maxNodes} discovered nodes already; raise discovery.maxNodes`;
    this.#table.place(entry, candidate, answer.ips);
    entry.problem = undefined;
    entry.state = 'member';
    entry.failedProbes = 0;
    for (const other of this.#table.displacedBy(entry).filter((node) => !isMoving(node)))
      this.#demote(other, `its address is now that of node ${entry.id}`);
    this.#touch(entry);
    this.#options.log.info(
      { audit: 'node_joined', node: entry.id, source: candidate.source, url: formatHostPort(candidate.url) },
      isMember ? `node ${entry.id} has moved` : `node ${entry.id} has joined the fleet`,
    );
    this.#changed();
    return undefined;
  }

  #demote(entry: Entry, problem: string): void {
    if (entry.state === 'gone') {
      this.#table.delete(entry);
      this.#replica.left(entry);
      return;
    }
    entry.state = 'candidate';
    this.#table.place(entry, undefined);
    entry.problem = problem;
    entry.nextProbeAt = this.#options.clock.now();
    this.#touch(entry);
    this.#options.log.warn({ node: entry.id }, `node ${entry.id} is out of the fleet: ${problem}`);
  }

  #refuseWhereFull(): void {
    const { maxAgents } = this.#options.policy();
    const agents = [...this.#table.entries.values()].filter(
      ({ latest, state }) => latest.source === 'agent' && state !== 'removed',
    );
    if (agents.length < maxAgents && this.#hasRoom(AGENT_KEY)) return;
    throw new NodeAdminError(
      'refused',
      `no more nodes may register: ${agents.length} have. Remove some, or raise agents.maxNodes and discovery.maxNodes`,
    );
  }

  #configuredNode(spec: NodeSpec): RegisteredNode {
    return {
      id: spec.id,
      spec,
      source: 'config',
      identity: this.#replica.ownerOf(spec.id),
      state: 'member',
      firstSeenAt: this.#configuredAt,
      lastSeenAt: this.#configuredAt,
      problem: undefined,
    };
  }

  #discovered(id: NodeId, ifConfigured: string): Entry {
    if (this.#table.configuredNode(id) !== undefined)
      throw new NodeAdminError('refused', `node ${id} is in the configuration and ${ifConfigured}`);
    const entry = this.#table.byId(id);
    if (entry === undefined)
      throw new NodeAdminError(
        'unknown_node',
        `no node is named ${id}; warmpath nodes list shows those there are`,
      );
    return entry;
  }

  #touch(entry: Entry): void {
    entry.changedAt = this.#options.clock.date().toISOString();
    this.#replica.changed(entry);
  }

  #changed(): void {
    this.#members = undefined;
    if (this.#isTelling) return;
    this.#isTelling = true;
    this.#options.clock.after(TELL_MS, () => {
      this.#isTelling = false;
      this.#tell();
    });
  }

  #tell(): void {
    const members = this.members();
    const isSame = members.length === this.#told.length && members.every((spec, i) => spec === this.#told[i]);
    if (isSame) return;
    this.#told = members;
    for (const listener of this.#listeners) listener();
  }
}
