import type { Bootstrap, Loose } from './bootstrap.ts';

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
/** Istio's circuit breakers are open as far as they go. */
const UNLIMITED = 4_294_967_295;

/** Where an address of the manifests is on this machine: `ip:port`, or `deployment:port` for a pod. */
export type Where = ReadonlyMap<string, number>;

/**
 * A bootstrap with what Istio's control plane would make of the manifests, in its names and with its defaults, before any
 * EnvoyFilter: one listener, the routes of the virtual services, a cluster for each port of each service.
 */
export function istioBootstrap(
  resources: readonly Loose[],
  { port, where }: { readonly port: number; readonly where: Where },
): Bootstrap {
  const of = (kind: string): Loose[] => resources.filter((resource) => resource.kind === kind);
  const rules = of('DestinationRule');
  const clusters = [
    ...of('ServiceEntry').flatMap((entry) =>
      entry.spec.ports.map(({ number, protocol }: Loose) =>
        cluster({
          host: entry.spec.hosts[0],
          port: number,
          isHttp2: /^(GRPC|HTTP2)$/.test(protocol),
          addresses: entry.spec.endpoints.map(({ address }: Loose) => `${address}:${number}`),
        }),
      ),
    ),
    ...of('Service').flatMap((service) =>
      service.spec.ports.map((servicePort: Loose) =>
        cluster({
          host: `${service.metadata.name}.${service.metadata.namespace}.svc.cluster.local`,
          port: servicePort.port,
          isHttp2: /grpc|h2c/.test(servicePort.appProtocol ?? servicePort.name),
          addresses: selected(resources, service).map((address) => `${address}:${servicePort.port}`),
        }),
      ),
    ),
  ];

  function cluster(from: { host: string; port: number; isHttp2: boolean; addresses: string[] }): Loose {
    const name = `outbound|${from.port}||${from.host}`;
    const policy = rules.find(({ spec }) => spec.host === from.host)?.spec.trafficPolicy ?? {};
    const max = { max_connections: UNLIMITED, max_pending_requests: UNLIMITED };
    return {
      name,
      type: 'STATIC',
      connect_timeout: policy.connectionPool?.tcp?.connectTimeout ?? '10s',
      lb_policy: policy.loadBalancer?.simple ?? 'LEAST_REQUEST',
      common_lb_config: {},
      circuit_breakers: { thresholds: [{ ...max, max_requests: UNLIMITED, max_retries: UNLIMITED }] },
      load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: from.addresses.map(endpoint) }] },
      ...(from.isHttp2
        ? {
            typed_extension_protocol_options: {
              [HTTP_OPTIONS]: {
                '@type': `type.googleapis.com/${HTTP_OPTIONS}`,
                explicit_http_config: { http2_protocol_options: {} },
              },
            },
          }
        : {}),
      ...transportSocket(policy.tls),
    };
  }

  function endpoint(address: string): Loose {
    const found = where.get(address);
    if (found === undefined) throw new Error(`nothing stands for ${address}`);
    return { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: found } } } };
  }

  const filter = (name: string, type: string): Loose => ({
    name,
    typed_config: { '@type': `type.googleapis.com/envoy.extensions.filters.http.${type}` },
  });
  const manager = {
    '@type':
      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: `outbound_0.0.0.0_${port}`,
    normalize_path: true,
    merge_slashes: true,
    stream_idle_timeout: '0s',
    http_filters: [
      filter('envoy.filters.http.fault', 'fault.v3.HTTPFault'),
      filter('envoy.filters.http.cors', 'cors.v3.Cors'),
      filter('envoy.filters.http.router', 'router.v3.Router'),
    ],
    route_config: { name: `http.${port}`, virtual_hosts: of('VirtualService').map(virtualHost) },
  };
  return {
    node: { id: 'router~127.0.0.1~test.istio-system', cluster: 'istio-ingressgateway.istio-system' },
    static_resources: {
      listeners: [
        {
          name: `0.0.0.0_${port}`,
          address: { socket_address: { address: '127.0.0.1', port_value: port } },
          filter_chains: [
            { filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] },
          ],
        },
      ],
      clusters,
    },
  };
}

/** Addresses of the workload entries and deployments in its namespace that a service selects. */
function selected(resources: readonly Loose[], service: Loose): string[] {
  const { selector } = service.spec;
  const has = (labels: Loose = {}): boolean =>
    Object.entries(selector).every(([key, value]) => labels[key] === value);
  return resources
    .filter(({ metadata }) => metadata.namespace === service.metadata.namespace)
    .flatMap(({ kind, metadata, spec }) => {
      if (kind === 'WorkloadEntry' && has(spec.labels)) return [spec.address as string];
      if (kind === 'Deployment' && has(spec.template.metadata.labels)) return [metadata.name as string];
      return [];
    });
}

function transportSocket(tls: Loose): Loose {
  if (tls === undefined || tls.mode === 'DISABLE') return {};
  if (tls.mode !== 'SIMPLE' || tls.insecureSkipVerify !== true) throw new Error('this TLS is not known here');
  return {
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        common_tls_context: { alpn_protocols: ['h2'], validation_context: {} },
      },
    },
  };
}

function virtualHost({ spec }: Loose): Loose {
  return {
    name: `${spec.hosts[0]}:80`,
    domains: [...spec.hosts, ...spec.hosts.map((host: string) => `${host}:*`)],
    routes: spec.http.flatMap((http: Loose) => http.match.map((match: Loose) => route(http, match))),
  };
}

function route(http: Loose, match: Loose): Loose {
  const [{ destination }] = http.route;
  return {
    name: http.name,
    match: {
      safe_regex: { regex: match.uri.regex },
      headers: [
        {
          name: ':method',
          string_match:
            match.method.exact === undefined
              ? { safe_regex: { regex: match.method.regex } }
              : { exact: match.method.exact },
        },
      ],
    },
    route: {
      cluster: `outbound|${destination.port.number}||${destination.host}`,
      timeout: http.timeout ?? '0s',
      ...(http.rewrite === undefined ? {} : { host_rewrite_literal: http.rewrite.authority }),
      retry_policy: retryPolicy(http.retries),
    },
    request_headers_to_remove: http.headers?.request?.remove ?? [],
  };
}

/** What Istio retries, also where nobody asked for it. */
export function retryPolicy(retries: Loose): Loose {
  const words: string[] = (
    retries?.retryOn ?? 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes'
  ).split(',');
  const codes = words.filter((word) => /^\d+$/.test(word)).map(Number);
  const conditions = words.filter((word) => !/^\d+$/.test(word));
  return {
    retry_on: [...conditions, ...(codes.length > 0 ? ['retriable-status-codes'] : [])].join(','),
    retriable_status_codes: codes,
    num_retries: retries?.attempts ?? 2,
    host_selection_retry_max_attempts: 5,
    retry_host_predicate: [
      {
        name: 'envoy.retry_host_predicates.previous_hosts',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
        },
      },
    ],
    ...(retries?.perTryTimeout === undefined ? {} : { per_try_timeout: retries.perTryTimeout }),
    ...(retries?.backoff === undefined ? {} : { retry_back_off: { base_interval: retries.backoff } }),
  };
}
