import type { Candidates, NodeView } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import { hostOf } from './host-of.ts';

type Among = NonNullable<RouteRequest['among']>;

/** Whether the proxy lets the request go to this node; where it says nothing, to every one. */
export function isAllowed(among: Among | undefined, { address }: NodeView): boolean {
  if (among === undefined) return true;
  if (address === undefined) return false;
  return among.has(address) || among.has(hostOf(address));
}

/** Those that the proxy allows. A few among thousands would be missed by any sample, so all are looked through. */
export function allowedOf(candidates: Candidates, among: Among | undefined): Candidates {
  if (among === undefined) return candidates;
  const { nodes, knowing, warm } = candidates;
  return { nodes, knowing: allowedPlaces(nodes, knowing, among), warm: allowedPlaces(nodes, warm, among) };
}

export function allowedPlaces(
  nodes: readonly NodeView[],
  places: Uint32Array,
  among: Among | undefined,
): Uint32Array {
  if (among === undefined) return places;
  return places.filter((at) => {
    const node = nodes[at];
    return node !== undefined && isAllowed(among, node);
  });
}
