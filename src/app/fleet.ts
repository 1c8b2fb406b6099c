import { newNode } from '../fleet/new-node.ts';
import { observe } from '../fleet/observe.ts';
import type { FleetParams } from '../fleet/params.ts';
import { SnapshotBuilder } from '../fleet/snapshot-builder.ts';
import type { FleetSnapshot, NodeId, NodeRecord, NodeSpec, NodeStatus, Observation } from '../fleet/types.ts';
import type { Clock } from './ports.ts';
import { AddressBook } from './registry/address-book.ts';

/** Below this size a snapshot is rebuilt at the next read; above it, at most once per `REBUILD_MS`. */
const SMALL_FLEET = 200;
const REBUILD_MS = 20;
/** Slow start, fading failures and the age of GPU reports change with time alone. */
const STALE_MS = 500;
/** Nodes that one rebuild takes over; the rest waits for the next: no reader pays for a whole fleet. */
const SLICE = 500;
/** The same for those that came, left or changed their status: mostly cheap, and better not kept waiting. */
const URGENT_SLICE = 2_000;

export interface StatusChange {
  readonly node: NodeId;
  readonly from: NodeStatus;
  readonly to: NodeStatus;
  readonly record: NodeRecord;
}

type Change = [NodeId, NodeRecord | undefined];

/** The one place where fleet state changes. Synchronous; readers get immutable snapshots. */
export class Fleet {
  readonly #clock: Clock;
  #params: FleetParams;
  readonly #nodes = new Map<NodeId, NodeRecord>();
  readonly #addresses = new AddressBook();
  readonly #onChange: (() => void)[] = [];
  readonly #onEndpoint: (() => void)[] = [];
  readonly #onStatus: ((change: StatusChange) => void)[] = [];
  readonly #builder = new SnapshotBuilder();
  #snapshot: FleetSnapshot | undefined;
  /** Nodes that changed since they were last taken over into a snapshot. */
  readonly #dirty = new Set<NodeId>();
  /** Those of them that came, left, or changed their status: taken over first. */
  readonly #urgent = new Set<NodeId>();
  /** Nodes whose view changes with time. */
  readonly #aging = new Set<NodeId>();
  #isCatchingUp = false;
  #agedAt = Number.NEGATIVE_INFINITY;

  constructor(specs: readonly NodeSpec[], params: FleetParams, clock: Clock) {
    this.#clock = clock;
    this.#params = params;
    this.replaceNodes(specs, params);
    this.snapshot();
  }

  get nodes(): ReadonlyMap<NodeId, NodeRecord> {
    return this.#nodes;
  }

  snapshot(): FleetSnapshot {
    const now = this.#clock.now();
    const current = this.#snapshot;
    if (current !== undefined) {
      const age = now - current.at;
      const isChanged = this.#dirty.size > 0 || this.#urgent.size > 0;
      const isDue = isChanged && (this.#nodes.size <= SMALL_FLEET || age >= REBUILD_MS);
      if (!isDue && age < STALE_MS) return current;
    }
    if (now - this.#agedAt >= STALE_MS) {
      this.#agedAt = now;
      for (const id of this.#aging) this.#dirty.add(id);
    }
    const changes: Change[] = [];
    // The first one is made of nodes of which nothing is known yet.
    this.#pick(this.#urgent, changes, current === undefined ? Number.POSITIVE_INFINITY : URGENT_SLICE);
    this.#pick(this.#dirty, changes, SLICE);
    this.#snapshot = this.#builder.next(changes, now, this.#params);
    return this.#snapshot;
  }

  /**
   * Takes a new list over. Known nodes keep what was learnt of them, unless they moved to another URL without an
   * identity that says that they are still themselves, or another identity has taken their name.
   */
  replaceNodes(specs: readonly NodeSpec[], params: FleetParams): void {
    const areParamsNew = !isSameParams(params, this.#params);
    this.#params = params;
    const now = this.#clock.now();
    const wanted = new Map(specs.map((spec) => [spec.id, spec]));
    for (const [id, record] of this.#nodes) {
      if (wanted.has(id)) continue;
      this.#nodes.delete(id);
      this.#addresses.leave(record);
      this.#urgent.add(id);
    }
    for (const [id, spec] of wanted) {
      const known = this.#nodes.get(id);
      if (known?.spec === spec && !areParamsNew) continue;
      const next = known === undefined ? newNode(spec, now) : continued(known, spec, now);
      if (known === undefined) this.#addresses.join(id);
      else if (next.address !== known.address) this.#addresses.remove(known);
      this.#nodes.set(id, next);
      this.#urgent.add(id);
    }
    this.#catchUpLater();
    this.#endpointChanged();
    this.#changed();
  }

  /** Unknown ids are ignored: the node may have left while its poll was under way. */
  observe(id: NodeId, observation: Observation): void {
    const before = this.#nodes.get(id);
    if (before === undefined) return;
    this.#put(id, before, observe(before, observation, this.#params, this.#clock.now()));
  }

  /** Takes over what is known of a node from elsewhere; `change` answers the record to go on with. */
  restore(id: NodeId, change: (record: NodeRecord) => NodeRecord): void {
    const before = this.#nodes.get(id);
    if (before !== undefined) this.#put(id, before, change(before));
  }

  /** The node behind `ip:port`, as Envoy names it in its logs. */
  nodeAt(address: string): NodeId | undefined {
    return this.#addresses.nodeAt(address);
  }

  /** Every change, that of each poll included. */
  onChange(listener: () => void): void {
    this.#onChange.push(listener);
  }

  /** Only changes of what Envoy is told of the nodes: who they are, where, and whether they may be used. */
  onEndpointChange(listener: () => void): void {
    this.#onEndpoint.push(listener);
  }

  onStatusChange(listener: (change: StatusChange) => void): void {
    this.#onStatus.push(listener);
  }

  #put(id: NodeId, before: NodeRecord, after: NodeRecord): void {
    if (after === before) return;
    this.#nodes.set(id, after);
    const isUrgent = after.health.status !== before.health.status || after.drains !== before.drains;
    (isUrgent ? this.#urgent : this.#dirty).add(id);
    this.#catchUpLater();
    if (after.address !== before.address) {
      this.#addresses.remove(before);
      this.#addresses.add(after);
    }
    if (concernsEnvoy(before, after)) this.#endpointChanged();
    this.#changed();
    if (after.health.status === before.health.status) return;
    const change = { node: id, from: before.health.status, to: after.health.status, record: after };
    for (const listener of this.#onStatus) listener(change);
  }

  #pick(from: Set<NodeId>, changes: Change[], limit: number): void {
    for (const id of from) {
      if (changes.length >= limit) break;
      from.delete(id);
      const record = this.#nodes.get(id);
      changes.push([id, record]);
      if (record !== undefined && changesWithTime(record)) this.#aging.add(id);
      else this.#aging.delete(id);
    }
  }

  /** What piles up while nobody asks is worked off, slice by slice, before somebody does. */
  #catchUpLater(): void {
    if (this.#dirty.size + this.#urgent.size > SLICE) this.#catchUp();
  }

  #catchUp(): void {
    if (this.#isCatchingUp) return;
    this.#isCatchingUp = true;
    this.#clock.after(REBUILD_MS, () => {
      this.#isCatchingUp = false;
      this.snapshot();
      if (this.#dirty.size + this.#urgent.size > 0) this.#catchUp();
    });
  }

  #changed(): void {
    for (const listener of this.#onChange) listener();
  }

  #endpointChanged(): void {
    for (const listener of this.#onEndpoint) listener();
  }
}

/** Whether Envoy's endpoint for the node is another one. */
function concernsEnvoy(before: NodeRecord, after: NodeRecord): boolean {
  return (
    before.address !== after.address ||
    before.drains !== after.drains ||
    (before.health.status === 'down') !== (after.health.status === 'down')
  );
}

function changesWithTime({ health, gpu }: NodeRecord): boolean {
  return (
    health.flaps > 0 || health.failureRate > 0 || gpu.agent !== undefined || gpu.prometheus !== undefined
  );
}

function isSameParams(a: FleetParams, b: FleetParams): boolean {
  return (
    a.downAfter === b.downAfter &&
    a.readmitAfterMs === b.readmitAfterMs &&
    a.readmitMaxMs === b.readmitMaxMs &&
    a.slowStartMs === b.slowStartMs
  );
}

/** The record of a node under its new specification: as much of it as is still true. */
function continued(known: NodeRecord, spec: NodeSpec, now: number): NodeRecord {
  if (known.spec.identity !== spec.identity) return newNode(spec, now);
  if (sameUrl(known.spec, spec)) return { ...known, spec };
  if (spec.identity === undefined) return newNode(spec, now);
  // The same machine at another address: how it behaves is known, whether it can be reached there is not.
  const { address, health, rttMs } = newNode(spec, now);
  return { ...known, spec, address, health, rttMs };
}

function sameUrl(a: NodeSpec, b: NodeSpec): boolean {
  return a.url.scheme === b.url.scheme && a.url.host === b.url.host && a.url.port === b.url.port;
}
