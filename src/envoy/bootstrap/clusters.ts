import { CLUSTER, METADATA } from '../names.ts';
import { any, extension, type Message, seconds } from './message.ts';
import { nodeProtocol, transportSockets } from './node-protocol.ts';
import type { BootstrapOptions, SocketTarget } from './options.ts';
import { address } from './sockets.ts';

/** More than the machine can hold: what limits requests is our own admission, never Envoy's breakers. */
const UNLIMITED = 1_000_000;

/** The nodes and the control plane, each twice: live and last known, by health and regardless of it. */
export function clusters(options: BootstrapOptions): readonly Message[] {
  return [liveNodes(options), lastKnownNodes(options), controlPlane(options), feeds(options)];
}

/** Endpoints from our EDS server; ext_proc names the ones to try, in order. */
function liveNodes(options: BootstrapOptions): Message {
  return {
    ...nodeCluster(CLUSTER.nodes, options),
    eds_cluster_config: {
      service_name: CLUSTER.nodes,
      eds_config: {
        resource_api_version: 'V3',
        // Among several control planes the first one asked may be gone.
        initial_fetch_timeout: (options.replicas ?? []).length > 0 ? '2s' : '0.5s',
        api_config_source: {
          api_type: 'GRPC',
          transport_api_version: 'V3',
          grpc_services: [
            {
              envoy_grpc: {
                cluster_name: CLUSTER.feeds,
                retry_policy: { retry_back_off: { base_interval: '0.05s', max_interval: '0.2s' } },
              },
            },
          ],
        },
      },
    },
    load_balancing_policy: {
      policies: [
        {
          typed_extension_config: extension(
            'override',
            'envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost',
            {
              // Never from a header: a client could send one.
              override_host_sources: [{ metadata: destinationKey('') }],
              selected_host_key: destinationKey('-served'),
              fallback_policy: leastRequest(),
            },
          ),
        },
      ],
    },
  };
}

/** Endpoints from the file that the control plane last wrote: works when it is gone. */
function lastKnownNodes(options: BootstrapOptions): Message {
  const path = options.lastKnownFile;
  return {
    ...nodeCluster(CLUSTER.lastKnown, options),
    eds_cluster_config: {
      service_name: CLUSTER.lastKnown,
      eds_config: {
        resource_api_version: 'V3',
        path_config_source: { path, watched_directory: { path: directory(path) } },
      },
    },
    load_balancing_policy: leastRequest(),
  };
}

function nodeCluster(name: string, options: BootstrapOptions): Message {
  return {
    name,
    type: 'EDS',
    connect_timeout: seconds(options.timeouts.connect),
    circuit_breakers: breakers(),
    // Unhealthy nodes are used only when no healthy one is left.
    common_lb_config: { healthy_panic_threshold: { value: 1 } },
    upstream_connection_options: {
      tcp_keepalive: { keepalive_time: 30, keepalive_interval: 10, keepalive_probes: 3 },
    },
    transport_socket_matches: transportSockets(options.tls),
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': nodeProtocol(),
    },
  };
}

/**
 * ext_proc. A hung control plane is out after one failed check: no request waits for it after that. Others are asked
 * only then: what one control plane decides alone, it decides on the latest of all figures.
 */
function controlPlane(options: BootstrapOptions): Message {
  const [own, ...others] = controlPlanes(options);
  const groups = [[own], ...(others.length > 0 ? [others] : [])];
  return {
    ...grpcCluster(CLUSTER.warmpath, options),
    load_assignment: {
      cluster_name: CLUSTER.warmpath,
      endpoints: groups.map((group, priority) => ({
        priority,
        lb_endpoints: group.map((endpoint) => ({ endpoint })),
      })),
    },
    // One that died is out with the first request that finds nobody there, not with the next check.
    ...(others.length > 0 ? { outlier_detection: unreachable() } : {}),
    // Envoy would keep the news of a health check back for up to 1 s after the one before: a restart has two of them.
    common_lb_config: { healthy_panic_threshold: { value: 0 }, update_merge_window: '0s' },
    health_checks: [
      {
        // Longer than any stall of a control plane that is merely starved of CPU: being out costs routing.
        timeout: '0.8s',
        interval: '1s',
        no_traffic_interval: '1s',
        unhealthy_interval: '0.25s',
        unhealthy_edge_interval: '0.25s',
        unhealthy_threshold: 1,
        healthy_threshold: 1,
        grpc_health_check: {},
      },
    ],
  };
}

/**
 * EDS and access log. Not by health: the control plane is healthy only once Envoy has the nodes that it names. Any of
 * several will do, as they tell each other; one that cannot be reached is left out for a moment.
 */
function feeds(options: BootstrapOptions): Message {
  const endpoints = controlPlanes(options);
  return {
    ...grpcCluster(CLUSTER.feeds, options),
    load_assignment: {
      cluster_name: CLUSTER.feeds,
      endpoints: [{ lb_endpoints: endpoints.map((endpoint) => ({ endpoint })) }],
    },
    ...(endpoints.length > 1 ? { outlier_detection: unreachable() } : {}),
  };
}

function controlPlanes({ grpc, replicas = [] }: BootstrapOptions): Message[] {
  return [grpc, ...replicas].map((target) => ({ address: address(target) }));
}

/** Leaves out whom a connection to failed, never all. */
function unreachable(): Message {
  return {
    split_external_local_origin_errors: true,
    consecutive_local_origin_failure: 1,
    enforcing_consecutive_local_origin_failure: 100,
    enforcing_success_rate: 0,
    enforcing_local_origin_success_rate: 0,
    enforcing_consecutive_5xx: 0,
    enforcing_consecutive_gateway_failure: 0,
    interval: '0.5s',
    base_ejection_time: '1s',
    max_ejection_time: '5s',
    max_ejection_percent: 50,
  };
}

/**
 * A control plane that hangs holds on to the requests that wait in its line: Envoy gives its connections up, and they go on
 * without it. Health checks keep only new requests away, and a control plane that drains is unhealthy on purpose.
 */
const STALLED = { interval: '2s', timeout: '5s' };

/** Names are asked for again and again: control planes come and go behind one. One address for each, not two. */
const RESOLVING = {
  cluster_type: extension('envoy.cluster.dns', 'envoy.extensions.clusters.dns.v3.DnsCluster', {
    dns_lookup_family: 'V4_PREFERRED',
    dns_refresh_rate: '2s',
    dns_failure_refresh_rate: { base_interval: '0.5s', max_interval: '2s' },
  }),
};

function grpcCluster(name: string, { grpc, replicas = [] }: BootstrapOptions): Message {
  return {
    name,
    // No such cluster takes Unix sockets: the configuration has refused those beside a name.
    ...([grpc, ...replicas].some(needsDns) ? RESOLVING : { type: 'STATIC' }),
    connect_timeout: '0.5s',
    circuit_breakers: breakers(),
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any(
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        { explicit_http_config: { http2_protocol_options: { connection_keepalive: STALLED } } },
      ),
    },
  };
}

function leastRequest(): Message {
  return {
    policies: [
      {
        typed_extension_config: extension(
          'least-request',
          'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest',
        ),
      },
    ],
  };
}

/** Where ext_proc's ranked list stands, and where Envoy notes which of them it took. */
function destinationKey(suffix: string): Message {
  return { key: METADATA.lb, path: [{ key: `${METADATA.destination}${suffix}` }] };
}

function breakers(): Message {
  const unlimited = {
    max_connections: UNLIMITED,
    max_pending_requests: UNLIMITED,
    max_requests: UNLIMITED,
    max_retries: UNLIMITED,
  };
  return { thresholds: [{ priority: 'DEFAULT', ...unlimited }] };
}

function needsDns(target: SocketTarget): boolean {
  return target.kind === 'tcp' && !/^[0-9.]+$|:/.test(target.host);
}

function directory(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}
