import { isDeepStrictEqual } from 'node:util';
import type { NodeId, NodeSpec, NodeUrl } from '../../fleet/types.ts';
import { formatHostPort } from '../host-port.ts';
import { cleanName, type Entry, identityKey, keyHash, placeOf, specOf } from './registry-entry.ts';
import type { Candidate } from './registry-types.ts';

/** Configured and discovered nodes with their names and places. A name belongs to one identity, a place to one member. */
export class NodeTable {
  #configured: readonly NodeSpec[] = [];
  readonly #byName = new Map<NodeId, NodeSpec>();
  readonly #byPlace = new Map<string, NodeId>();
  readonly #entries = new Map<string, Entry>();
  /** Entries that each source has brought. */
  readonly #brought = new Map<string, number>();
  readonly #ids = new Map<NodeId, Entry>();
  /** Entries by the place that the fleet uses, and by the addresses behind it. */
  readonly #atPlace = new Map<string, Set<Entry>>();
  readonly #specs = new WeakMap<Entry, NodeSpec>();
  readonly #deriveName: (url: NodeUrl) => string;

  constructor(deriveName: (url: NodeUrl) => string) {
    this.#deriveName = deriveName;
  }

  get entries(): ReadonlyMap<string, Entry> {
    return this.#entries;
  }

  /** Entries that this source has brought. */
  countOf(sourceKey: string): number {
    return this.#brought.get(sourceKey) ?? 0;
  }

  get configured(): readonly NodeSpec[] {
    return this.#configured;
  }

  configuredNode(id: NodeId): NodeSpec | undefined {
    return this.#byName.get(id);
  }

  byId(id: NodeId): Entry | undefined {
    return this.#ids.get(id);
  }

  /** Discovered nodes that are part of the fleet. */
  members(): Entry[] {
    return [...this.#entries.values()].filter(isInFleet);
  }

  /** Takes over the configuration's nodes; a discovered node that has a name of theirs is renamed. Answers the renamed. */
  configure(nodes: readonly NodeSpec[]): Entry[] {
    this.#configured = nodes;
    this.#byName.clear();
    this.#byPlace.clear();
    for (const node of nodes) {
      this.#byName.set(node.id, node);
      this.#byPlace.set(placeOf(node.url), node.id);
    }
    const renamed = [...this.#entries.values()].filter(({ id }) => this.#byName.has(id));
    for (const entry of renamed) this.rename(entry, this.otherName(entry));
    return renamed;
  }

  /** Its name must be free, or be made so by `rename` at once. */
  add(entry: Entry): void {
    this.#entries.set(entry.key, entry);
    this.#brought.set(entry.sourceKey, this.countOf(entry.sourceKey) + 1);
    if (!this.#ids.has(entry.id)) this.#ids.set(entry.id, entry);
    this.place(entry, entry.active, entry.ips);
  }

  delete(entry: Entry): void {
    if (!this.#entries.delete(entry.key)) return;
    this.#index(entry, (set) => set.delete(entry));
    const left = this.countOf(entry.sourceKey) - 1;
    if (left > 0) this.#brought.set(entry.sourceKey, left);
    else this.#brought.delete(entry.sourceKey);
    if (this.#ids.get(entry.id) === entry) this.#ids.delete(entry.id);
  }

  /** Gives it the name that its source wants, or one that nobody has. */
  rename(entry: Entry, id: NodeId = this.freeName(entry.latest)): void {
    if (this.#ids.get(entry.id) === entry) this.#ids.delete(entry.id);
    entry.id = id;
    this.#ids.set(id, entry);
  }

  wantedName(candidate: Candidate): NodeId {
    return cleanName(candidate.name) ?? cleanName(this.#deriveName(candidate.url)) ?? 'node';
  }

  /** The name that it wants; with a piece of its identity where another has that. The same on every replica. */
  freeName(candidate: Candidate): NodeId {
    const wanted = this.wantedName(candidate);
    const key = identityKey(candidate);
    return this.#isFree(wanted, key) ? wanted : this.#markedName(wanted, key);
  }

  /** A name for an entry that must give up the one it has. */
  otherName({ latest, key }: Entry): NodeId {
    return this.#markedName(this.wantedName(latest), key);
  }

  #markedName(wanted: string, key: string): NodeId {
    for (const length of [4, 8, 16]) {
      const id = `${wanted.slice(0, 63 - length)}-${keyHash(key, length)}`;
      if (this.#isFree(id, key)) return id;
    }
    return keyHash(key, 48);
  }

  #isFree(id: NodeId, key: string): boolean {
    const holder = this.#ids.get(id);
    return !this.#byName.has(id) && (holder === undefined || holder.key === key);
  }

  /** Sets what the fleet uses of the entry; undefined: nothing. Nothing else may, but for a change of settings alone. */
  place(entry: Entry, active: Candidate | undefined, ips: readonly string[] = []): void {
    this.#index(entry, (set) => set.delete(entry));
    entry.active = active;
    entry.ips = ips;
    this.#index(entry, (set) => set.add(entry));
  }

  /** Who stands where the candidate would: at its URL, or at an address that its name led to. */
  clash(
    entry: Entry,
    candidate: Candidate,
    ips: readonly string[],
    nodeAt: (address: string) => NodeId | undefined,
  ): NodeId | undefined {
    const { port } = candidate.url;
    const places = [placeOf(candidate.url), ...ips.map((host) => placeOf({ ...candidate.url, host }))];
    const configured = this.#byPlace.get(placeOf(candidate.url));
    if (configured !== undefined) return configured;
    for (const place of places) {
      for (const other of this.#atPlace.get(place) ?? []) {
        if (other === entry || other.state !== 'member' || isMoving(other)) continue;
        // Who is known by its address alone makes way for one that says who it is.
        const isNamedBetter = candidate.identity !== undefined && other.latest.identity === undefined;
        if (!isNamedBetter || placeOf(candidate.url) !== place) return other.id;
      }
    }
    return ips
      .map((host) => nodeAt(formatHostPort({ host, port })))
      .find((id) => id !== undefined && this.#byName.has(id));
  }

  /** Others of the fleet that stand at the entry's place. */
  displacedBy(entry: Entry): Entry[] {
    const { active } = entry;
    if (active === undefined) return [];
    const place = placeOf(active.url);
    return [...(this.#atPlace.get(place) ?? [])].filter(
      (other) =>
        other !== entry &&
        isInFleet(other) &&
        other.active !== undefined &&
        placeOf(other.active.url) === place,
    );
  }

  #index({ active, ips }: Entry, change: (set: Set<Entry>) => void): void {
    if (active === undefined) return;
    const places = [placeOf(active.url), ...ips.map((host) => placeOf({ ...active.url, host }))];
    for (const place of places) {
      const set = this.#atPlace.get(place) ?? new Set();
      change(set);
      if (set.size > 0) this.#atPlace.set(place, set);
      else this.#atPlace.delete(place);
    }
  }

  /** What the fleet consists of. What has not changed is the same object as before. */
  specs(): NodeSpec[] {
    return [...this.#configured, ...this.members().map((entry) => this.#specOf(entry))];
  }

  #specOf(entry: Entry): NodeSpec {
    const before = this.#specs.get(entry);
    const spec = specOf(entry);
    if (before !== undefined && isDeepStrictEqual(before, spec)) return before;
    this.#specs.set(entry, spec);
    return spec;
  }
}

/** Part of the fleet, if only until its requests have ended. */
export function isInFleet({ state }: Entry): boolean {
  return state === 'member' || state === 'gone';
}

/** Its source names another address than the fleet uses. */
export function isMoving({ active, latest }: Entry): boolean {
  return (
    active !== undefined &&
    (placeOf(active.url) !== placeOf(latest.url) || active.url.scheme !== latest.url.scheme)
  );
}
