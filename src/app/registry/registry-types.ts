import type { NodeId, NodeSpec, NodeUrl } from '../../fleet/types.ts';

/** How we came to know of a node. */
export type DiscoverySource = 'config' | 'file' | 'dns' | 'localhost' | 'mdns' | 'kubernetes' | 'agent';

/** A node that a source has found; nothing is proven yet. */
export interface Candidate {
  /** What the source calls it; undefined: a name is derived from the URL. */
  readonly name: string | undefined;
  readonly url: NodeUrl;
  readonly source: DiscoverySource;
  /** Who it is wherever its address moves: an agent's public key, a pod's uid. Undefined: its URL is all there is. */
  readonly identity: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** The rest of its settings where the source has them (files do). */
  readonly settings?: Partial<Omit<NodeSpec, 'id' | 'url' | 'labels'>>;
}

/**
 * candidate: known, not part of the fleet. member: polled and routed to. gone: a member that its source no longer
 * names; it leaves when its requests have ended. removed: an operator wants it out, and finding it again changes nothing.
 */
export type RegistryState = 'candidate' | 'member' | 'gone' | 'removed';

export interface RegisteredNode {
  readonly id: NodeId;
  readonly spec: NodeSpec;
  readonly source: DiscoverySource;
  readonly identity: string | undefined;
  readonly state: RegistryState;
  /** ISO 8601. */
  readonly firstSeenAt: string;
  readonly lastSeenAt: string;
  /** Why it is no member: it does not answer as Ollama, nobody approved it, its address is refused, the list is full. */
  readonly problem: string | undefined;
}

/** An operator's wish could not be granted; the message says why and what to do. */
export class NodeAdminError extends Error {
  readonly reason: 'unknown_node' | 'conflict' | 'refused' | 'store_down';

  constructor(reason: NodeAdminError['reason'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'NodeAdminError';
    this.reason = reason;
  }
}

/** All nodes that are known from anywhere, and which of them make up the fleet. */
export interface NodeRegistry {
  /** Everything, by id. */
  list(): readonly RegisteredNode[];
  get(id: NodeId): RegisteredNode | undefined;
  /** What the fleet consists of now: configured nodes first. */
  members(): readonly NodeSpec[];
  /** Called after each change of `members()`. The function returned ends it. */
  onMembers(listener: () => void): () => void;
  /** Replaces the configured nodes: they need nobody's approval. */
  configure(nodes: readonly NodeSpec[]): void;
  /** All that one source names now; what it named before and no longer does is gone. `key` tells sources of a kind apart. */
  found(key: string, candidates: readonly Candidate[]): void;
  /** A node that proved its identity: with the join token it becomes a member unless policy says manual. Answers its id. */
  join(candidate: Candidate): RegisteredNode;
  approve(id: NodeId): Promise<RegisteredNode>;
  remove(id: NodeId): Promise<void>;
}

export interface DrainRequest {
  readonly note: string;
  /** Remove the node this long after, or as soon as its requests have ended; undefined: it stays, drained. */
  readonly removeAfterMs: number | undefined;
}

/** What an operator may do to nodes. Rejects with NodeAdminError. */
export interface NodeAdmin {
  list(): readonly RegisteredNode[];
  approve(id: NodeId): Promise<void>;
  remove(id: NodeId): Promise<void>;
  drain(id: NodeId, request: DrainRequest): Promise<void>;
  undrain(id: NodeId): Promise<void>;
}
