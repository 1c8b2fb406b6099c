import type { EnvoyEndpoint } from '../../app/types.ts';
import { HealthStatus } from '../gen/envoy/config/core/v3/health_check.ts';
import type { LbEndpoint } from '../gen/envoy/config/endpoint/v3/endpoint_components.ts';
import { type Fields, toStruct } from '../grpc/well-known.ts';
import { CLUSTER, METADATA } from '../names.ts';

export const ASSIGNMENT_TYPE = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment';
/** The one resource that we serve: the live cluster's `service_name`. The file is read by the other cluster. */
export const RESOURCE = CLUSTER.nodes;
const TRANSPORT_MATCH = 'envoy.transport_socket_match';

/** How a Struct is written: as a message for gRPC, as plain JSON in a file. */
type Encode = (fields: Fields) => { [key: string]: unknown };

/** For gRPC, by proto-loader. */
export function lbEndpoint(endpoint: EnvoyEndpoint): LbEndpoint {
  return build(endpoint, toStruct);
}

/** For a file that Envoy reads: protobuf's JSON. */
export function lbEndpointJson(endpoint: EnvoyEndpoint): object {
  return build(endpoint, (fields) => ({ ...fields }));
}

function build(endpoint: EnvoyEndpoint, encode: Encode): LbEndpoint {
  const { address, port } = splitAddress(endpoint.address);
  const authorization = endpoint.token === undefined ? {} : { authorization: `Bearer ${endpoint.token}` };
  return {
    endpoint: {
      address: { socket_address: { address, port_value: port } },
      hostname: endpoint.hostname,
    },
    health_status: healthStatus(endpoint),
    metadata: {
      filter_metadata: {
        [METADATA.warmpath]: encode({ name: endpoint.node, ...authorization }),
        [TRANSPORT_MATCH]: encode({ tls: endpoint.transport }),
      },
    },
  };
}

function healthStatus({ isHealthy, isDraining }: EnvoyEndpoint): HealthStatus {
  if (isDraining) return HealthStatus.DRAINING;
  return isHealthy ? HealthStatus.HEALTHY : HealthStatus.UNHEALTHY;
}

/** `1.2.3.4:80` or `[::1]:80` → its halves, IPv6 without brackets. */
export function splitAddress(text: string): { address: string; port: number } {
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, colon);
  return {
    address: host.startsWith('[') ? host.slice(1, -1) : host,
    port: Number(text.slice(colon + 1)),
  };
}
