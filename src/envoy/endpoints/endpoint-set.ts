import { formatHostPort, urlHost } from '../../app/host-port.ts';
import type { EndpointSet, EnvoyEndpoint } from '../../app/types.ts';
import type { FleetSnapshot, NodeId, NodeRecord, NodeSpec, NodeUrl } from '../../fleet/types.ts';
import { sameEndpoint } from './same-endpoints.ts';
import { transportName } from './transport-name.ts';

/** A node that cannot be an endpoint, because another one has its address. */
export interface AddressConflict {
  readonly node: NodeId;
  readonly address: string;
  /** Who keeps the address. */
  readonly keeper: NodeId;
}

export interface EndpointPlan {
  readonly set: EndpointSet;
  readonly conflicts: readonly AddressConflict[];
}

interface Planned {
  readonly spec: NodeSpec;
  readonly endpoint: EnvoyEndpoint;
}

/** What Envoy should know of the fleet, again and again: endpoints that stay as they were stay the same objects. */
export class EndpointPlanner {
  #planned: ReadonlyMap<NodeId, Planned> = new Map();

  /**
   * Every node with an address is in it, however ill: those that are down or drain are marked so and only reachable by
   * name, and requests that were not routed avoid them.
   */
  plan(records: Iterable<NodeRecord>, snapshot: FleetSnapshot): EndpointPlan {
    const endpoints: EnvoyEndpoint[] = [];
    const conflicts: AddressConflict[] = [];
    const keepers = new Map<string, NodeId>();
    const planned = new Map<NodeId, Planned>();
    for (const record of records) {
      const { spec, address } = record;
      if (address === undefined) continue;
      const keeper = keepers.get(address);
      if (keeper !== undefined) {
        conflicts.push({ node: spec.id, address, keeper });
        continue;
      }
      keepers.set(address, spec.id);
      const one = plannedFor(record, address, snapshot, this.#planned.get(spec.id));
      planned.set(spec.id, one);
      endpoints.push(one.endpoint);
    }
    this.#planned = planned;
    return { set: { endpoints }, conflicts };
  }
}

function plannedFor(
  { spec, health, drains }: NodeRecord,
  address: string,
  snapshot: FleetSnapshot,
  before: Planned | undefined,
): Planned {
  const isHealthy = health.status !== 'down';
  const isDraining = spec.drain || drains.size > 0 || snapshot.byId.get(spec.id)?.status === 'draining';
  const known = before?.endpoint;
  const isSame =
    before?.spec === spec &&
    known?.address === address &&
    known.isHealthy === isHealthy &&
    known.isDraining === isDraining;
  if (isSame) return before;
  const endpoint: EnvoyEndpoint = {
    node: spec.id,
    address,
    hostname: hostname(spec.url),
    token: spec.token,
    transport: transportName(spec),
    isHealthy,
    isDraining,
  };
  return { spec, endpoint: known !== undefined && sameEndpoint(known, endpoint) ? known : endpoint };
}

const HTTP_PORT = 80;

/**
 * What Envoy calls the node: in the Host header, with the port where it is not HTTP's own; of https nodes it is the server name too,
 * which their certificate must have, and that knows no port.
 */
export function hostname(url: NodeUrl): string {
  if (url.scheme === 'https') return url.host;
  return url.port === HTTP_PORT ? urlHost(url.host) : formatHostPort(url);
}
