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
  const known = FOUND.get(among);
  if (known !== undefined && isOf(known.among, candidates)) return known.allowed;
  const allowed = {
    nodes,
    knowing: allowedPlaces(nodes, knowing, among),
    warm: allowedPlaces(nodes, warm, among),
  };
  FOUND.set(among, { among: candidates, allowed });
  return allowed;
}

/** What was found last for each list of allowed nodes, as long as that is of use: who waits is ranked again and again. */
const FOUND = new WeakMap<Among, { readonly among: Candidates; readonly allowed: Candidates }>();

function isOf(one: Candidates, other: Candidates): boolean {
  return one.nodes === other.nodes && one.knowing === other.knowing && one.warm === other.warm;
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
