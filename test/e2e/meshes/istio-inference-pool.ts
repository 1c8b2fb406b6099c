import type { Bootstrap, Loose } from './bootstrap.ts';
import { istioBootstrap } from './istio.ts';
import type { Places } from './rig.ts';

const FILTER = 'envoy.filters.http.ext_proc';
const EXT_PROC = 'type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3';
const POLICIES = 'type.googleapis.com/envoy.extensions.load_balancing_policies';

/**
 * What Istio's control plane (1.30) makes of an HTTPRoute to an InferencePool: a filter that does nothing by itself, its
 * override on the route, and a cluster of the pool's pods with override_host.
 */
export function inferencePoolBootstrap(resources: readonly Loose[], places: Places): Bootstrap {
  const one = (kind: string): Loose => resources.find((resource) => resource.kind === kind);
  const [gateway, httpRoute, pool, rule] = ['Gateway', 'HTTPRoute', 'InferencePool', 'DestinationRule'].map(
    one,
  );
  const { name, namespace } = pool.metadata;
  const { endpointPickerRef: picker } = pool.spec;
  if (gateway.spec.gatewayClassName !== 'istio') throw new Error('this gateway is not of Istio');

  const bare = istioBootstrap(
    [
      rule,
      virtualService(httpRoute, `${name}-ip-00000000.${namespace}.svc.cluster.local`),
      service(picker.name, namespace, picker.port.number, 'grpc'),
      service(`${name}-ip-00000000`, namespace, 54_321, 'http'),
      deployment(picker.name, namespace),
      ...places.nodes.map((port) => workload(`pod-${port}`, name, namespace)),
    ],
    {
      port: places.clients,
      where: new Map([
        [`${picker.name}:${picker.port.number}`, places.grpc],
        ...places.nodes.map((port): [string, number] => [`pod-${port}:54321`, port]),
      ]),
    },
  );
  const { listeners, clusters } = bare.static_resources;
  const manager = listeners[0].filter_chains[0].filters[0].typed_config;
  manager.http_filters.unshift(listenerFilter());
  const pickerCluster = `outbound|${picker.port.number}||${picker.name}.${namespace}.svc.cluster.local`;
  for (const { routes } of manager.route_config.virtual_hosts)
    for (const route of routes)
      route.typed_per_filter_config = {
        [FILTER]: routeOverride(pickerCluster, picker.failureMode === 'FailOpen'),
      };
  const pods = clusters.find((cluster: Loose) => cluster.name.includes(`||${name}-ip-`));
  Object.assign(pods, { lb_policy: 'CLUSTER_PROVIDED', load_balancing_policy: overrideHost() });
  return bare;
}

function listenerFilter(): Loose {
  return {
    name: FILTER,
    typed_config: {
      '@type': `${EXT_PROC}.ExternalProcessor`,
      grpc_service: { envoy_grpc: { cluster_name: 'dummy' }, timeout: '10s' },
      failure_mode_allow: true,
      processing_mode: { request_header_mode: 'SKIP', response_header_mode: 'SKIP' },
      message_timeout: '1000s',
      metadata_options: {
        receiving_namespaces: { untyped: ['envoy.lb'] },
        forwarding_namespaces: { untyped: ['envoy.lb'] },
      },
    },
  };
}

function routeOverride(cluster_name: string, failure_mode_allow: boolean): Loose {
  return {
    '@type': `${EXT_PROC}.ExtProcPerRoute`,
    overrides: {
      failure_mode_allow,
      grpc_service: { envoy_grpc: { cluster_name } },
      processing_mode: {
        request_header_mode: 'SEND',
        request_body_mode: 'FULL_DUPLEX_STREAMED',
        request_trailer_mode: 'SEND',
        response_header_mode: 'SEND',
        response_body_mode: 'FULL_DUPLEX_STREAMED',
        response_trailer_mode: 'SEND',
      },
    },
  };
}

function overrideHost(): Loose {
  const key = (suffix: string): Loose => ({
    key: 'envoy.lb',
    path: [{ key: `x-gateway-destination-endpoint${suffix}` }],
  });
  const policy = (name: string, config: Loose): Loose => ({
    policies: [{ typed_extension_config: { name, typed_config: config } }],
  });
  return policy('envoy.load_balancing_policies.override_host', {
    '@type': `${POLICIES}.override_host.v3.OverrideHost`,
    override_host_sources: [{ metadata: key('') }],
    selected_host_key: key('-served'),
    fallback_policy: policy('envoy.load_balancing_policies.round_robin', {
      '@type': `${POLICIES}.round_robin.v3.RoundRobin`,
    }),
  });
}

/** As the HTTPRoute is translated before anything else. */
function virtualService({ spec }: Loose, host: string): Loose {
  return {
    kind: 'VirtualService',
    metadata: {},
    spec: {
      hosts: spec.hostnames,
      http: spec.rules.map((rule: Loose, i: number) => ({
        name: `rule-${i}`,
        match: rule.matches.map(({ path, method }: Loose) => {
          if (path.type !== 'RegularExpression')
            throw new Error(`paths of type ${path.type} are not known here`);
          return { uri: { regex: path.value }, method: { exact: method } };
        }),
        route: [{ destination: { host, port: { number: 54_321 } } }],
        // Pods take any name; the simulated nodes are on loopback, where Ollama does not.
        rewrite: { authority: 'localhost' },
        headers: { request: { remove: rule.filters[0].requestHeaderModifier.remove } },
        timeout: rule.timeouts?.request,
      })),
    },
  };
}

function service(name: string, namespace: string, port: number, appProtocol: string): Loose {
  const ports = [{ name: appProtocol, port, appProtocol }];
  const app = name.replace(/-ip-0+$/, '');
  return { kind: 'Service', metadata: { name, namespace }, spec: { selector: { app }, ports } };
}

function deployment(name: string, namespace: string): Loose {
  const template = { metadata: { labels: { app: name } } };
  return { kind: 'Deployment', metadata: { name, namespace }, spec: { template } };
}

function workload(address: string, app: string, namespace: string): Loose {
  return {
    kind: 'WorkloadEntry',
    metadata: { name: address, namespace },
    spec: { address, labels: { app } },
  };
}
