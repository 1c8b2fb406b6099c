import type { ModelKey, NodeView } from './types.ts';

type Positions = ReadonlyMap<ModelKey, readonly number[]>;

/**
 * Which nodes know a model. Tag lists change rarely and views often, so the positions of nodes by model are carried
 * over from snapshot to snapshot, and the list of views for one model is made when it is first asked for.
 */
export class ModelIndex implements ReadonlyMap<ModelKey, readonly NodeView[]> {
  readonly #nodes: readonly NodeView[];
  readonly #positions: Positions;
  readonly #lists = new Map<ModelKey, readonly NodeView[]>();

  /** `previous` is the index of an earlier snapshot; it is reused where the same nodes know the same models. */
  constructor(nodes: readonly NodeView[], previous: ReadonlyMap<ModelKey, readonly NodeView[]> | undefined) {
    this.#nodes = nodes;
    const earlier = previous instanceof ModelIndex ? previous : undefined;
    this.#positions =
      earlier !== undefined && knowTheSame(earlier.#nodes, nodes) ? earlier.#positions : positionsOf(nodes);
  }

  get size(): number {
    return this.#positions.size;
  }

  get(key: ModelKey): readonly NodeView[] | undefined {
    const made = this.#lists.get(key);
    if (made !== undefined) return made;
    const positions = this.#positions.get(key);
    if (positions === undefined) return undefined;
    const list: NodeView[] = [];
    for (const position of positions) {
      const node = this.#nodes[position];
      if (node !== undefined) list.push(node);
    }
    this.#lists.set(key, list);
    return list;
  }

  has(key: ModelKey): boolean {
    return this.#positions.has(key);
  }

  keys(): MapIterator<ModelKey> {
    return this.#positions.keys();
  }

  *entries(): MapIterator<[ModelKey, readonly NodeView[]]> {
    for (const key of this.#positions.keys()) yield [key, this.get(key) ?? []];
  }

  *values(): MapIterator<readonly NodeView[]> {
    for (const [, nodes] of this.entries()) yield nodes;
  }

  [Symbol.iterator](): MapIterator<[ModelKey, readonly NodeView[]]> {
    return this.entries();
  }

  forEach(
    visit: (
      nodes: readonly NodeView[],
      key: ModelKey,
      map: ReadonlyMap<ModelKey, readonly NodeView[]>,
    ) => void,
  ): void {
    for (const [key, nodes] of this.entries()) visit(nodes, key, this);
  }
}

/** The models by which a node is found: its tag list, or what it has in memory while no tag list was ever read. */
function knownModels(node: NodeView): ReadonlyMap<ModelKey, unknown> {
  return node.tagsAt === undefined ? node.warm : node.models;
}

function knowTheSame(before: readonly NodeView[], after: readonly NodeView[]): boolean {
  if (before.length !== after.length) return false;
  for (const [i, node] of after.entries()) {
    const earlier = before[i];
    if (earlier === undefined || knownModels(earlier) !== knownModels(node)) return false;
  }
  return true;
}

function positionsOf(nodes: readonly NodeView[]): Positions {
  const positions = new Map<ModelKey, number[]>();
  for (const [i, node] of nodes.entries()) {
    for (const key of knownModels(node).keys()) {
      const list = positions.get(key);
      if (list === undefined) positions.set(key, [i]);
      else list.push(i);
    }
  }
  return positions;
}
