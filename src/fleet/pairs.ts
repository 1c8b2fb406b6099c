import type { ModelKey, NodeId } from './types.ts';

const NOTHING: ReadonlyMap<string, never> = new Map<string, never>();

/** Named things by node and model, in the order in which they came. Pairs without any are forgotten. */
export class Pairs<T> {
  readonly #nodes = new Map<NodeId, Map<ModelKey, Map<string, T>>>();

  of(node: NodeId, model: ModelKey): ReadonlyMap<string, T> {
    return this.#nodes.get(node)?.get(model) ?? NOTHING;
  }

  add(node: NodeId, model: ModelKey, id: string, item: T): void {
    let models = this.#nodes.get(node);
    if (models === undefined) {
      models = new Map<string, never>();
      this.#nodes.set(node, models);
    }
    const items = models.get(model);
    if (items === undefined) models.set(model, new Map([[id, item]]));
    else items.set(id, item);
  }

  remove(node: NodeId, model: ModelKey, id: string): void {
    const models = this.#nodes.get(node);
    const items = models?.get(model);
    if (models === undefined || items === undefined) return;
    items.delete(id);
    if (items.size > 0) return;
    models.delete(model);
    if (models.size === 0) this.#nodes.delete(node);
  }
}
