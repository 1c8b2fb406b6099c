import { newNode } from '../fleet/new-node.ts';
import { observe } from '../fleet/observe.ts';
import type { FleetParams } from '../fleet/params.ts';
import { buildSnapshot } from '../fleet/snapshot.ts';
import type { FleetSnapshot, NodeId, NodeRecord, NodeSpec, NodeStatus, Observation } from '../fleet/types.ts';
import type { Clock } from './ports.ts';

/** Below this size a snapshot is rebuilt at the next read; above it, at most once per `REBUILD_MS`. */
const SMALL_FLEET = 200;
const REBUILD_MS = 20;
/** Slow start and cool-downs change with time alone. */
const STALE_MS = 500;

export interface StatusChange {
  readonly node: NodeId;
  readonly from: NodeStatus;
  readonly to: NodeStatus;
  readonly record: NodeRecord;
}

/** The one place where fleet state changes. Synchronous; readers get immutable snapshots. */
export class Fleet {
  readonly #clock: Clock;
  #params: FleetParams;
  readonly #nodes = new Map<NodeId, NodeRecord>();
  readonly #byAddress = new Map<string, NodeId>();
  readonly #onChange: (() => void)[] = [];
  readonly #onStatus: ((change: StatusChange) => void)[] = [];
  #snapshot: FleetSnapshot | undefined;
  #isDirty = true;
  #version = 0;

  constructor(specs: readonly NodeSpec[], params: FleetParams, clock: Clock) {
    this.#clock = clock;
    this.#params = params;
    this.replaceNodes(specs, params);
  }

  get nodes(): ReadonlyMap<NodeId, NodeRecord> {
    return this.#nodes;
  }

  snapshot(): FleetSnapshot {
    const now = this.#clock.now();
    const current = this.#snapshot;
    if (current !== undefined) {
      const age = now - current.at;
      const isDue = this.#isDirty && (this.#nodes.size <= SMALL_FLEET || age >= REBUILD_MS);
      if (!isDue && age < STALE_MS) return current;
    }
    this.#isDirty = false;
    this.#version += 1;
    this.#snapshot = buildSnapshot(this.#nodes.values(), this.#version, now, this.#params, current);
    return this.#snapshot;
  }

  /** Takes a new configuration over: known nodes keep what was learnt of them, unless they moved to another URL. */
  replaceNodes(specs: readonly NodeSpec[], params: FleetParams): void {
    this.#params = params;
    const now = this.#clock.now();
    const wanted = new Map(specs.map((spec) => [spec.id, spec]));
    for (const id of [...this.#nodes.keys()]) if (!wanted.has(id)) this.#nodes.delete(id);
    for (const [id, spec] of wanted) {
      const known = this.#nodes.get(id);
      const isSame = known !== undefined && sameUrl(known.spec, spec);
      this.#nodes.set(id, isSame ? { ...known, spec } : newNode(spec, now));
    }
    this.#indexAddresses();
    this.#changed();
  }

  /** Unknown ids are ignored: the node may have left while its poll was under way. */
  observe(id: NodeId, observation: Observation): void {
    const before = this.#nodes.get(id);
    if (before === undefined) return;
    const after = observe(before, observation, this.#params, this.#clock.now());
    if (after === before) return;
    this.#nodes.set(id, after);
    if (after.address !== before.address) this.#indexAddresses();
    this.#changed();
    if (after.health.status === before.health.status) return;
    const change = { node: id, from: before.health.status, to: after.health.status, record: after };
    for (const listener of this.#onStatus) listener(change);
  }

  /** The node behind `ip:port`, as Envoy names it in its logs. */
  nodeAt(address: string): NodeId | undefined {
    return this.#byAddress.get(address);
  }

  onChange(listener: () => void): void {
    this.#onChange.push(listener);
  }

  onStatusChange(listener: (change: StatusChange) => void): void {
    this.#onStatus.push(listener);
  }

  #changed(): void {
    this.#isDirty = true;
    for (const listener of this.#onChange) listener();
  }

  #indexAddresses(): void {
    this.#byAddress.clear();
    for (const { address, spec } of this.#nodes.values()) {
      if (address !== undefined && !this.#byAddress.has(address)) this.#byAddress.set(address, spec.id);
    }
  }
}

function sameUrl(a: NodeSpec, b: NodeSpec): boolean {
  return a.url.scheme === b.url.scheme && a.url.host === b.url.host && a.url.port === b.url.port;
}
