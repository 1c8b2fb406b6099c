import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';

export interface PickerEnvoy {
  readonly name: string;
  readonly port: number;
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  /** Where the picker listens for gRPC, without TLS. */
  readonly picker: number;
  /** How bodies come to it: both ways as Istio wires an InferencePool, or requests alone as our recipes have them. */
  readonly bodies: 'duplex' | 'buffered';
}

const HTTP2 = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    explicit_http_config: { http2_protocol_options: {} },
  },
};
const LIMITS = {
  thresholds: [
    { max_connections: 40000, max_pending_requests: 40000, max_requests: 40000, max_retries: 1000 },
  ],
};
const ROUND_ROBIN = {
  name: 'round-robin',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin',
  },
};

/** The same Envoy as `writeBareBootstrap`, with an endpoint picker before the router. */
export function writePickerBootstrap(
  dir: string,
  { name, port, nodes, picker, bodies }: PickerEnvoy,
): string {
  const file = join(dir, `${name}.yaml`);
  const manager = {
    '@type':
      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: name,
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { cluster: 'nodes', timeout: '0s' } }],
        },
      ],
    },
    http_filters: [
      { name: 'ext_proc', typed_config: filter(bodies) },
      {
        name: 'router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  };
  const runtime = { 'envoy.reloadable_features.ext_proc_graceful_grpc_close': true };
  const bootstrap = {
    layered_runtime: { layers: [{ name: 'static', static_layer: runtime }] },
    static_resources: {
      listeners: [
        {
          name,
          address: { socket_address: { address: '127.0.0.1', port_value: port } },
          per_connection_buffer_limit_bytes: 67108864,
          filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
        },
      ],
      clusters: [
        {
          ...cluster('nodes', nodes),
          load_balancing_policy: { policies: [{ typed_extension_config: overrideHost() }] },
        },
        {
          ...cluster('picker', [{ host: '127.0.0.1', port: picker }]),
          typed_extension_protocol_options: HTTP2,
        },
      ],
    },
  };
  // No anchors: the same limits stand in both clusters.
  writeFileSync(file, stringify(bootstrap, { aliasDuplicateObjects: false }));
  return file;
}

const MODES = {
  duplex: {
    request_body_mode: 'FULL_DUPLEX_STREAMED',
    response_body_mode: 'FULL_DUPLEX_STREAMED',
    request_trailer_mode: 'SEND',
  },
  buffered: { request_body_mode: 'BUFFERED' },
};

function filter(bodies: PickerEnvoy['bodies']) {
  const namespaces = { untyped: ['envoy.lb'] };
  return {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor',
    grpc_service: { envoy_grpc: { cluster_name: 'picker' }, timeout: '10s' },
    failure_mode_allow: false,
    message_timeout: '1000s',
    processing_mode: {
      request_header_mode: 'SEND',
      response_header_mode: 'SEND',
      response_trailer_mode: 'SEND',
      ...MODES[bodies],
    },
    metadata_options: { forwarding_namespaces: namespaces, receiving_namespaces: namespaces },
  };
}

function overrideHost() {
  const path = (key: string) => ({ key: 'envoy.lb', path: [{ key }] });
  return {
    name: 'override-host',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost',
      override_host_sources: [{ metadata: path('x-gateway-destination-endpoint') }],
      selected_host_key: path('x-gateway-destination-endpoint-served'),
      fallback_policy: { policies: [{ typed_extension_config: ROUND_ROBIN }] },
    },
  };
}

function cluster(name: string, endpoints: PickerEnvoy['nodes']) {
  return {
    name,
    type: 'STATIC',
    circuit_breakers: LIMITS,
    load_assignment: {
      cluster_name: name,
      endpoints: [
        {
          lb_endpoints: endpoints.map(({ host, port }) => ({
            endpoint: { address: { socket_address: { address: host, port_value: port } } },
          })),
        },
      ],
    },
  };
}
