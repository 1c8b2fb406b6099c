import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';

/** The comparison: Envoy that only proxies, round robin over the same nodes, with the same limits. */
export function writeBareBootstrap(
  dir: string,
  port: number,
  nodes: readonly { host: string; port: number }[],
): string {
  const file = join(dir, 'bare.yaml');
  const route = { cluster: 'nodes', timeout: '0s' };
  const manager = {
    '@type':
      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'bare',
    route_config: {
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route }] }],
    },
    http_filters: [
      {
        name: 'router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  };
  const limits = {
    max_connections: 40000,
    max_pending_requests: 40000,
    max_requests: 40000,
    max_retries: 1000,
  };
  writeFileSync(
    file,
    stringify({
      static_resources: {
        listeners: [
          {
            name: 'bare',
            address: { socket_address: { address: '127.0.0.1', port_value: port } },
            per_connection_buffer_limit_bytes: 67108864,
            filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
          },
        ],
        clusters: [
          {
            name: 'nodes',
            type: 'STATIC',
            lb_policy: 'ROUND_ROBIN',
            circuit_breakers: { thresholds: [limits] },
            load_assignment: {
              cluster_name: 'nodes',
              endpoints: [
                {
                  lb_endpoints: nodes.map((node) => ({
                    endpoint: {
                      address: { socket_address: { address: node.host, port_value: node.port } },
                    },
                  })),
                },
              ],
            },
          },
        ],
      },
    }),
  );
  return file;
}
