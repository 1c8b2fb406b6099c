import { z } from 'zod';
import { formatHostPort } from '../../app/host-port.ts';
import type { EnvoyEndpoint } from '../../app/types.ts';
import type { LastKnown } from './last-known.ts';

const endpoint = z.object({
  endpoint: z.object({
    address: z.object({
      socket_address: z.object({ address: z.ipv4().or(z.ipv6()), port_value: z.int().min(1).max(65_535) }),
    }),
    hostname: z.string().min(1).max(1_024),
  }),
  health_status: z.int().min(0).max(5),
  metadata: z.object({
    filter_metadata: z.object({
      warmpath: z.object({ name: z.string().min(1).max(256), authorization: z.string().optional() }),
      'envoy.transport_socket_match': z.object({ tls: z.string().min(1).max(64) }),
    }),
  }),
});

const file = z.object({
  version_info: z.string().regex(/^\d{1,12}$/),
  resources: z
    .array(
      z.object({
        endpoints: z.array(z.object({ lb_endpoints: z.array(endpoint).max(100_000) })).max(1),
      }),
    )
    .length(1),
});

const DRAINING = 3;
const UNHEALTHY = 2;
const BEARER = 'Bearer ';

/** Undefined for anything that we did not write ourselves. */
export function parseLastKnown(text: string): LastKnown | undefined {
  const result = file.safeParse(tryJson(text));
  if (!result.success) return undefined;
  const endpoints = result.data.resources.flatMap(({ endpoints: groups }) =>
    groups.flatMap(({ lb_endpoints }) => lb_endpoints.map(toEndpoint)),
  );
  return { set: { endpoints }, version: Number(result.data.version_info) };
}

function toEndpoint({ endpoint: inner, health_status, metadata }: z.output<typeof endpoint>): EnvoyEndpoint {
  const { address, port_value } = inner.address.socket_address;
  const { name, authorization } = metadata.filter_metadata.warmpath;
  return {
    node: name,
    address: formatHostPort({ host: address, port: port_value }),
    hostname: inner.hostname,
    token: authorization?.startsWith(BEARER) ? authorization.slice(BEARER.length) : undefined,
    transport: metadata.filter_metadata['envoy.transport_socket_match'].tls,
    isHealthy: health_status !== UNHEALTHY,
    isDraining: health_status === DRAINING,
  };
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
