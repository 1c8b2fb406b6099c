import type { NodeId, NodeView } from './types.ts';

/** The views of a snapshot by id. Where the nodes are the same, snapshots share `places`. */
export class NodesById implements ReadonlyMap<NodeId, NodeView> {
  readonly #nodes: readonly NodeView[];
  readonly #places: ReadonlyMap<NodeId, number>;

  constructor(nodes: readonly NodeView[], places: ReadonlyMap<NodeId, number>) {
    this.#nodes = nodes;
    this.#places = places;
  }

  get size(): number {
    return this.#nodes.length;
  }

  get(id: NodeId): NodeView | undefined {
    const place = this.#places.get(id);
    return place === undefined ? undefined : this.#nodes[place];
  }

  has(id: NodeId): boolean {
    return this.#places.has(id);
  }

  *keys(): MapIterator<NodeId> {
    for (const { id } of this.#nodes) yield id;
  }

  values(): ArrayIterator<NodeView> {
    return this.#nodes.values();
  }

  *entries(): MapIterator<[NodeId, NodeView]> {
    for (const node of this.#nodes) yield [node.id, node];
  }

  [Symbol.iterator](): MapIterator<[NodeId, NodeView]> {
    return this.entries();
  }

  forEach(visit: (node: NodeView, id: NodeId, map: ReadonlyMap<NodeId, NodeView>) => void): void {
    for (const node of this.#nodes) visit(node, node.id, this);
  }
}
