import { PositionChanges, type Positions } from './positions.ts';
import type { Candidates, ModelKey, ModelNodes, NodeView } from './types.ts';

type Lists = ReadonlyMap<ModelKey, Positions>;

const NOBODY: Positions = new Uint32Array();
const NO_LISTS: Lists = new Map();
const UNSEEN = 'unseen';

/**
 * Which nodes know a model, and which of them have it in memory. Kept as positions in the list of nodes and carried
 * over from snapshot to snapshot: a poll that finds a node as it was costs nothing here, one that finds a model more
 * makes one list anew.
 */
export class ModelIndex implements ModelNodes {
  /** No node has a larger weight. */
  readonly heaviest: number;
  readonly unseen: Positions;
  readonly #nodes: readonly NodeView[];
  readonly #knowing: Lists;
  readonly #warm: Lists;
  readonly #made = new Map<ModelKey, readonly NodeView[]>();

  /**
   * `previous` is the index of an earlier list of nodes, `touched` where the two lists differ; without it, all places
   * are compared.
   */
  constructor(nodes: readonly NodeView[], previous: ModelNodes | undefined, touched?: ReadonlySet<number>) {
    const earlier = previous instanceof ModelIndex ? previous : undefined;
    const before = earlier?.nodes ?? [];
    const knowing = new PositionChanges<ModelKey>();
    const warm = new PositionChanges<ModelKey>();
    const unseen = new PositionChanges<typeof UNSEEN>();
    let heaviest = earlier?.heaviest ?? 0;
    for (const at of places(touched, before.length, nodes.length)) {
      const old = before[at];
      const view = nodes[at];
      if (old === view) continue;
      if (view !== undefined && view.weight > heaviest) heaviest = view.weight;
      const isUnseen = view !== undefined && view.tagsAt === undefined;
      const wasUnseen = old !== undefined && old.tagsAt === undefined;
      if (isUnseen && !wasUnseen) unseen.enter(UNSEEN, at);
      if (wasUnseen && !isUnseen) unseen.leave(UNSEEN, at);
      const known = view && knownModels(view);
      const knownBefore = old && knownModels(old);
      knowing.note(at, knownBefore, known);
      if (known !== knownBefore || old?.warm !== view?.warm)
        warm.note(at, old && wellKnown(old.warm, knownBefore), view && wellKnown(view.warm, known));
    }
    this.#nodes = nodes;
    this.#knowing = knowing.applyTo(earlier?.knowingLists ?? NO_LISTS);
    this.#warm = warm.applyTo(earlier?.warmLists ?? NO_LISTS);
    this.unseen = unseen.applyTo(new Map([[UNSEEN, earlier?.unseen ?? NOBODY]])).get(UNSEEN) ?? NOBODY;
    this.heaviest = heaviest;
  }

  get size(): number {
    return this.#knowing.size;
  }

  candidates(key: ModelKey): Candidates | undefined {
    const knowing = this.#knowing.get(key);
    return knowing && { nodes: this.#nodes, knowing, warm: this.#warm.get(key) ?? NOBODY };
  }

  get(key: ModelKey): readonly NodeView[] | undefined {
    const made = this.#made.get(key);
    if (made !== undefined) return made;
    const positions = this.#knowing.get(key);
    if (positions === undefined) return undefined;
    const list: NodeView[] = [];
    for (const position of positions.toSorted()) {
      const node = this.#nodes[position];
      if (node !== undefined) list.push(node);
    }
    this.#made.set(key, list);
    return list;
  }

  has(key: ModelKey): boolean {
    return this.#knowing.has(key);
  }

  keys(): MapIterator<ModelKey> {
    return this.#knowing.keys();
  }

  *entries(): MapIterator<[ModelKey, readonly NodeView[]]> {
    for (const key of this.#knowing.keys()) yield [key, this.get(key) ?? []];
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

  /** For the next index. */
  get nodes(): readonly NodeView[] {
    return this.#nodes;
  }

  get knowingLists(): Lists {
    return this.#knowing;
  }

  get warmLists(): Lists {
    return this.#warm;
  }
}

/** The models by which a node is found: its tag list, or what it has in memory while no tag list was ever read. */
export function knownModels(node: NodeView): ReadonlyMap<ModelKey, unknown> {
  return node.tagsAt === undefined ? node.warm : node.models;
}

/** What is in memory but deleted from the disk is asked of no node. */
function wellKnown(
  warm: ReadonlyMap<ModelKey, unknown>,
  known: ReadonlyMap<ModelKey, unknown> | undefined,
): ReadonlyMap<ModelKey, unknown> {
  if (known === warm || known === undefined) return warm;
  for (const key of warm.keys()) if (!known.has(key)) return new Map([...warm].filter(([k]) => known.has(k)));
  return warm;
}

function places(touched: ReadonlySet<number> | undefined, before: number, after: number): readonly number[] {
  if (touched !== undefined) return [...touched];
  return Array.from({ length: Math.max(before, after) }, (_, at) => at);
}
