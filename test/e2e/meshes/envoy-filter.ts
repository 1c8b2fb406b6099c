import type { Bootstrap, Loose } from './bootstrap.ts';

export type Context = 'GATEWAY' | 'SIDECAR_OUTBOUND';

/** Applies the patches of an EnvoyFilter as Istio does, as far as the recipes use them; whatever else one asks for is an error. */
export function applyEnvoyFilter(bootstrap: Bootstrap, filter: Loose, context: Context): Bootstrap {
  const result = structuredClone(bootstrap);
  for (const { applyTo, match, patch } of filter.spec.configPatches) {
    if (match.context !== context) throw new Error(`a patch is for ${match.context}, not for ${context}`);
    const apply = APPLY[applyTo];
    if (apply === undefined) throw new Error(`patches of ${applyTo} are not known here`);
    if (apply(result, match, patch) === 0) throw new Error(`a patch of ${applyTo} finds nothing to patch`);
  }
  return result;
}

type Apply = (bootstrap: Bootstrap, match: Loose, patch: Loose) => number;

/** Each returns how many things it has patched. */
const APPLY: Readonly<Record<string, Apply>> = {
  HTTP_FILTER(bootstrap, match, { operation, value }) {
    only(operation, 'INSERT_BEFORE');
    const { filter } = match.listener.filterChain;
    let patched = 0;
    for (const manager of connectionManagers(bootstrap, filter.name)) {
      const at = manager.http_filters.findIndex(({ name }: Loose) => name === filter.subFilter.name);
      if (at < 0) continue;
      manager.http_filters.splice(at, 0, structuredClone(value));
      patched += 1;
    }
    return patched;
  },
  HTTP_ROUTE(bootstrap, match, { operation, value }) {
    only(operation, 'MERGE');
    const { name } = match.routeConfiguration.vhost.route;
    const routes = connectionManagers(bootstrap)
      .flatMap(({ route_config }) => route_config.virtual_hosts)
      .flatMap((host) => host.routes)
      .filter((route) => route.name === name);
    for (const route of routes) merge(route, value);
    return routes.length;
  },
  CLUSTER(bootstrap, match, { operation, value }) {
    only(operation, 'MERGE');
    const found = bootstrap.static_resources.clusters.filter(
      ({ name }: Loose) => name === match.cluster.name,
    );
    for (const cluster of found) merge(cluster, value);
    return found.length;
  },
};

function only(operation: string, expected: string): void {
  if (operation !== expected) throw new Error(`${operation} is not known here`);
}

function connectionManagers(
  bootstrap: Bootstrap,
  name = 'envoy.filters.network.http_connection_manager',
): Loose[] {
  return bootstrap.static_resources.listeners
    .flatMap(({ filter_chains }: Loose) => filter_chains)
    .flatMap(({ filters }: Loose) => filters)
    .filter((filter: Loose) => filter.name === name)
    .map(({ typed_config }: Loose) => typed_config);
}

/** As protobuf merges messages: fields one by one, lists appended, all else replaced. */
function merge(target: Loose, patch: Loose): void {
  for (const [key, value] of Object.entries(structuredClone(patch))) {
    if (Array.isArray(value)) target[key] = [...(target[key] ?? []), ...value];
    else if (typeof value === 'object' && value !== null && typeof target[key] === 'object')
      merge(target[key], value);
    else target[key] = value;
  }
}
