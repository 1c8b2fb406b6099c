import { formatHostPort, urlHost } from '../../app/host-port.ts';
import type { EndpointSet, EnvoyEndpoint } from '../../app/types.ts';
import type { FleetSnapshot, NodeId, NodeRecord, NodeUrl } from '../../fleet/types.ts';
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

/**
 * What Envoy should know of the fleet. Every node with an address is in it, however ill: those that are down or drain
 * are marked so and only reachable by name, and requests that were not routed avoid them.
 */
export function endpointSet(records: Iterable<NodeRecord>, snapshot: FleetSnapshot): EndpointPlan {
  const endpoints: EnvoyEndpoint[] = [];
  const conflicts: AddressConflict[] = [];
  const keepers = new Map<string, NodeId>();
  for (const { spec, address, health } of records) {
    if (address === undefined) continue;
    const keeper = keepers.get(address);
    if (keeper !== undefined) {
      conflicts.push({ node: spec.id, address, keeper });
      continue;
    }
    keepers.set(address, spec.id);
    const status = snapshot.byId.get(spec.id)?.status ?? health.status;
    endpoints.push({
      node: spec.id,
      address,
      hostname: hostname(spec.url),
      token: spec.token,
      transport: transportName(spec),
      isHealthy: health.status !== 'down',
      isDraining: spec.drain || status === 'draining',
    });
  }
  return { set: { endpoints }, conflicts };
}

const OWN_PORT = { http: 80, https: 443 } as const;

/** Host header of requests to the node: with the port where it is not the scheme's own. */
export function hostname(url: NodeUrl): string {
  return url.port === OWN_PORT[url.scheme] ? urlHost(url.host) : formatHostPort(url);
}
