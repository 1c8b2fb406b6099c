import type { EndpointSet, EnvoyEndpoint } from '../../app/types.ts';

/** Whether Envoy would be told the same. Endpoints that did not change are mostly the same objects. */
export function sameEndpoints({ endpoints: a }: EndpointSet, { endpoints: b }: EndpointSet): boolean {
  return a.length === b.length && a.every((endpoint, i) => sameEndpoint(endpoint, b[i]));
}

export function sameEndpoint(a: EnvoyEndpoint, b: EnvoyEndpoint | undefined): boolean {
  if (a === b) return true;
  return (
    b !== undefined &&
    a.node === b.node &&
    a.address === b.address &&
    a.hostname === b.hostname &&
    a.token === b.token &&
    a.transport === b.transport &&
    a.isHealthy === b.isHealthy &&
    a.isDraining === b.isDraining
  );
}
