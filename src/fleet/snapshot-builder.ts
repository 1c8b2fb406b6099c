import { ModelIndex } from './model-index.ts';
import { NodesById } from './nodes-by-id.ts';
import type { FleetParams } from './params.ts';
import { viewOf } from './snapshot.ts';
import type { FleetSnapshot, NodeId, NodeRecord, NodeView } from './types.ts';

/**
 * Makes one snapshot after another. Each costs about as much as changed since the last one: what did not change is
 * shared with it. Earlier snapshots stay as they were.
 */
export class SnapshotBuilder {
  #places: ReadonlyMap<NodeId, number> = new Map();
  #snapshot: FleetSnapshot = {
    version: 0,
    at: 0,
    nodes: [],
    byId: new Map(),
    byModel: new ModelIndex([], undefined),
  };

  /** `changes`: ids with what is now known of them; without a record the node is gone. Order means nothing. */
  next(
    changes: Iterable<readonly [NodeId, NodeRecord | undefined]>,
    now: number,
    params: FleetParams,
  ): FleetSnapshot {
    const { version, byModel, nodes: before } = this.#snapshot;
    const nodes = before.slice();
    const touched = new Set<number>();
    let places: Map<NodeId, number> | undefined;
    for (const [id, record] of changes) {
      const place = (places ?? this.#places).get(id);
      if (record !== undefined) {
        const view = viewOf(record, params, now);
        if (place === undefined) {
          places ??= new Map(this.#places);
          places.set(id, nodes.length);
          touched.add(nodes.length);
          nodes.push(view);
        } else if (nodes[place] !== view) {
          nodes[place] = view;
          touched.add(place);
        }
      } else if (place !== undefined) {
        places ??= new Map(this.#places);
        touched.add(nodes.length - 1);
        fillWithLast(nodes, place, places, touched);
        places.delete(id);
      }
    }
    this.#places = places ?? this.#places;
    this.#snapshot = {
      version: version + 1,
      at: now,
      nodes,
      byId: new NodesById(nodes, this.#places),
      byModel: new ModelIndex(nodes, byModel, touched),
    };
    return this.#snapshot;
  }
}

/** The last node takes the place of one that is gone: all others stay where they are. */
function fillWithLast(
  nodes: NodeView[],
  place: number,
  places: Map<NodeId, number>,
  touched: Set<number>,
): void {
  const last = nodes.pop();
  if (last === undefined || place === nodes.length) return;
  nodes[place] = last;
  places.set(last.id, place);
  touched.add(place);
}
