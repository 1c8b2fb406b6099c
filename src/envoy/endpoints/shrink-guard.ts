import type { EndpointSet } from '../../app/types.ts';
import type { NodeId } from '../../fleet/types.ts';

/** Updates that take away more than this share of the endpoints, and at least MIN_LOST, are not believed. */
const MAX_LOST_SHARE = 0.5;
const MIN_LOST = 2;

export type ShrinkVerdict =
  | { readonly kind: 'publish' }
  /** `lost`: nodes that are still configured and would vanish. */
  | { readonly kind: 'hold'; readonly lost: readonly NodeId[] };

/** A set of nodes that is only asked. */
export type NodeIds = Pick<ReadonlySet<NodeId>, 'has' | 'size'>;

/**
 * Whether an update may be shown to Envoy. Nodes vanish for two reasons: somebody took them out of the configuration,
 * which is obeyed, or something on our side failed (a resolver, a bug), which must not take the fleet away.
 * `configured` are the nodes that the configuration names now.
 */
export function judgeShrink(published: EndpointSet, next: EndpointSet, configured: NodeIds): ShrinkVerdict {
  const lost = missingIn(next, published).filter((id) => configured.has(id));
  if (lost.length === 0) return { kind: 'publish' };
  const wouldBeEmpty = next.endpoints.length === 0;
  const isMost = lost.length >= MIN_LOST && lost.length > published.endpoints.length * MAX_LOST_SHARE;
  return wouldBeEmpty || isMost ? { kind: 'hold', lost } : { kind: 'publish' };
}

function missingIn({ endpoints }: EndpointSet, before: EndpointSet): NodeId[] {
  const moved = before.endpoints.filter(({ node }, at) => endpoints[at]?.node !== node);
  if (moved.length === 0) return [];
  const kept = new Set<NodeId>();
  for (const { node } of endpoints) kept.add(node);
  return moved.map(({ node }) => node).filter((node) => !kept.has(node));
}
