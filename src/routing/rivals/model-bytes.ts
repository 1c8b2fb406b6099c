import type { ModelKey, NodeView } from '../../fleet/types.ts';

/** What a model takes or would take of a node's memory, as the node itself says; undefined: it does not. */
export function modelBytes(node: NodeView, model: ModelKey): number | undefined {
  return node.warm.get(model)?.sizeBytes ?? node.models.get(model)?.sizeBytes;
}
