import { createHash } from 'node:crypto';
import type { NodeId } from '../../fleet/types.ts';
import type { DocumentKind, ReplicaId } from '../contract.ts';

/** Facts of nodes are spread over this many slots of a cluster; each is read and written by one call. */
export const NODE_BUCKETS = 16;

/** Every key and channel, as `docs/redis.md` lists them. What is in braces decides the cluster's slot. */
export class Keys {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** All of one replica: writer, leases, counts. */
  replica(id: ReplicaId): { readonly info: string; readonly leases: string; readonly counts: string } {
    const base = `${this.#prefix}{r:${id}}`;
    return { info: `${base}:info`, leases: `${base}:leases`, counts: `${base}:counts` };
  }

  get replicasSeen(): string {
    return `${this.#prefix}{replicas}:seen`;
  }

  get replicasInfo(): string {
    return `${this.#prefix}{replicas}:info`;
  }

  get polls(): string {
    return `${this.#prefix}{polls}:owner`;
  }

  node(id: NodeId): string {
    return `${this.#prefix}{nodes:${bucketOf(id)}}:${id}`;
  }

  documents(kind: DocumentKind): string {
    return `${this.#prefix}{docs}:${kind}`;
  }

  /** Who claims a slot of the node and model (as `pairOf` writes them) at this moment; hashed: of any length. */
  claim(pair: string): string {
    return `${this.#prefix}claim:${createHash('sha256').update(pair).digest('base64url')}`;
  }

  /** Hashed: the value may be a secret, and of any length. */
  once(value: string): string {
    return `${this.#prefix}once:${createHash('sha256').update(value).digest('base64url')}`;
  }

  get probe(): string {
    return `${this.#prefix}probe`;
  }

  get toAll(): string {
    return `${this.#prefix}to-all`;
  }

  toOne(replica: ReplicaId): string {
    return `${this.#prefix}to:${replica}`;
  }
}

/** FNV-1a: the same on every replica. */
export function bucketOf(id: NodeId): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % NODE_BUCKETS;
}
