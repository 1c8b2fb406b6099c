import type { NodeId, NodeRecord } from '../../fleet/types.ts';

/** Nodes by their address. Where several have the same one, the one that joined the fleet first is named. */
export class AddressBook {
  readonly #ranks = new Map<NodeId, number>();
  readonly #tenants = new Map<string, Set<NodeId>>();
  #joined = 0;

  join(node: NodeId): void {
    this.#joined += 1;
    this.#ranks.set(node, this.#joined);
  }

  leave(record: NodeRecord): void {
    this.remove(record);
    this.#ranks.delete(record.spec.id);
  }

  add({ address, spec }: NodeRecord): void {
    if (address === undefined) return;
    const tenants = this.#tenants.get(address);
    if (tenants === undefined) this.#tenants.set(address, new Set([spec.id]));
    else tenants.add(spec.id);
  }

  remove({ address, spec }: NodeRecord): void {
    if (address === undefined) return;
    const tenants = this.#tenants.get(address);
    tenants?.delete(spec.id);
    if (tenants?.size === 0) this.#tenants.delete(address);
  }

  nodeAt(address: string): NodeId | undefined {
    let first: NodeId | undefined;
    for (const node of this.#tenants.get(address) ?? [])
      if (first === undefined || this.#rank(node) < this.#rank(first)) first = node;
    return first;
  }

  #rank(node: NodeId): number {
    return this.#ranks.get(node) ?? Number.POSITIVE_INFINITY;
  }
}
