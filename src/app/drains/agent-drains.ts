import type { Drain, NodeId } from '../../fleet/types.ts';
import type { Clock } from '../ports.ts';
import { type AgentCause, type AgentDrainEntry, agentEntry } from './drain-documents.ts';

/** How often a replica repeats what its agents say, and how long the others believe it without hearing it again. */
const REPEAT_MS = 10_000;
const BELIEVED_MS = 6 * REPEAT_MS;
const MAX_ENTRIES = 1_000;
/** More nodes than any fleet has: the rest is not believed. */
const MAX_NODES = 10_000;

interface Said {
  readonly drain: Drain;
  /** Undefined: it was said to us. */
  heardAt: number | undefined;
}

/** Drains that agents asked for, at any replica. The last word counts; a replica that dies is believed for a minute. */
export class AgentDrains {
  readonly #clock: Clock;
  readonly #said = new Map<NodeId, Map<AgentCause, Said>>();
  #repeatAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  of(node: NodeId): ReadonlyMap<AgentCause, { readonly drain: Drain }> | undefined {
    return this.#said.get(node);
  }

  /** Said to this replica. */
  set(node: NodeId, cause: AgentCause, drain: Drain | undefined): void {
    this.#put(node, cause, drain, undefined);
  }

  /** Said to another replica. Answers the nodes of which something has changed. */
  heard(entries: readonly AgentDrainEntry[]): ReadonlySet<NodeId> {
    const changed = new Set<NodeId>();
    for (const { node, cause, drain } of entries) {
      const known = this.#said.get(node)?.get(cause);
      if (drain === null) {
        if (known !== undefined) changed.add(node);
        this.#put(node, cause, undefined, undefined);
        continue;
      }
      if (known === undefined && this.#said.size >= MAX_NODES && !this.#said.has(node)) continue;
      if (known?.drain.note === drain.note && known.drain.since === drain.since) {
        if (known.heardAt !== undefined) known.heardAt = this.#clock.now();
        continue;
      }
      this.#put(node, cause, { ...drain, removeAt: undefined }, this.#clock.now());
      changed.add(node);
    }
    return changed;
  }

  /** Forgets what nobody has repeated for long. Answers the nodes of which something has changed. */
  expire(): ReadonlySet<NodeId> {
    const now = this.#clock.now();
    const changed = new Set<NodeId>();
    for (const [node, causes] of this.#said) {
      for (const [cause, { heardAt }] of causes) {
        if (heardAt === undefined || now - heardAt <= BELIEVED_MS) continue;
        this.#put(node, cause, undefined, undefined);
        changed.add(node);
      }
    }
    return changed;
  }

  /** What is to be told again now, in messages of bounded size. */
  dueRepeats(): readonly (readonly AgentDrainEntry[])[] {
    if (this.#clock.now() < this.#repeatAt) return [];
    this.#repeatAt = this.#clock.now() + REPEAT_MS;
    const own: AgentDrainEntry[] = [];
    for (const [node, causes] of this.#said) {
      for (const [cause, { drain, heardAt }] of causes)
        if (heardAt === undefined) own.push(agentEntry(node, cause, drain));
    }
    const messages: AgentDrainEntry[][] = [];
    for (let from = 0; from < own.length; from += MAX_ENTRIES)
      messages.push(own.slice(from, from + MAX_ENTRIES));
    return messages;
  }

  #put(node: NodeId, cause: AgentCause, drain: Drain | undefined, heardAt: number | undefined): void {
    const causes = this.#said.get(node) ?? new Map<AgentCause, Said>();
    if (drain === undefined) causes.delete(cause);
    else causes.set(cause, { drain, heardAt });
    if (causes.size > 0) this.#said.set(node, causes);
    else this.#said.delete(node);
  }
}
