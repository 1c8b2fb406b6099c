import { type Bootstrap, deployYaml, type Loose } from './bootstrap.ts';

/** The bootstrap of somebody else's Envoy: it has a listener, and nothing of ours. */
function bare(): Bootstrap {
  return {
    node: { id: 'ollama', cluster: 'ollama' },
    static_resources: {
      listeners: [
        {
          name: 'ollama',
          address: { socket_address: { address: '127.0.0.1', port_value: 11434 } },
          filter_chains: [
            {
              filters: [
                {
                  name: 'http',
                  typed_config: {
                    '@type':
                      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                    stat_prefix: 'ollama',
                    http_filters: [
                      {
                        name: 'router',
                        typed_config: {
                          '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
                          suppress_envoy_headers: true,
                        },
                      },
                    ],
                    route_config: { name: 'ollama', virtual_hosts: [] },
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [],
    },
  };
}

export interface Choice {
  readonly nodes: 'eds' | 'static';
  readonly tls?: boolean;
  readonly accessLog?: boolean;
}

/** The snippets put where their comments say. */
export function assembled({ nodes, tls = false, accessLog = false }: Choice): Bootstrap {
  const snippet = (name: string): Loose => deployYaml(`envoy/snippets/${name}.yaml`);
  const bootstrap = { ...bare(), ...snippet('runtime') };
  const manager = connectionManager(bootstrap);
  Object.assign(manager, snippet('http-connection-manager'));
  manager.http_filters.unshift(...snippet('http-filter'));
  manager.route_config.virtual_hosts.push(snippet('virtual-host'));
  if (accessLog) manager.access_log = snippet('access-log');
  const control: Loose[] = snippet('cluster-warmpath');
  if (tls) for (const cluster of control) Object.assign(cluster, snippet('transport-socket-tls'));
  bootstrap.static_resources.clusters.push(...control, ...snippet(`cluster-nodes-${nodes}`));
  return bootstrap;
}

export function connectionManager(bootstrap: Bootstrap): Loose {
  return bootstrap.static_resources.listeners[0].filter_chains[0].filters[0].typed_config;
}
