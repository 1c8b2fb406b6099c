import type { ResponseFlags } from '../gen/envoy/data/accesslog/v3/accesslog.ts';

/** Envoy's response flags by field, in the short form of its text logs. */
const SHORT = {
  failed_local_healthcheck: 'LH',
  no_healthy_upstream: 'UH',
  upstream_request_timeout: 'UT',
  local_reset: 'LR',
  upstream_remote_reset: 'UR',
  upstream_connection_failure: 'UF',
  upstream_connection_termination: 'UC',
  upstream_overflow: 'UO',
  no_route_found: 'NR',
  delay_injected: 'DI',
  fault_injected: 'FI',
  rate_limited: 'RL',
  rate_limit_service_error: 'RLSE',
  downstream_connection_termination: 'DC',
  upstream_retry_limit_exceeded: 'URX',
  stream_idle_timeout: 'SI',
  invalid_envoy_request_headers: 'IH',
  downstream_protocol_error: 'DPE',
  upstream_max_stream_duration_reached: 'UMSDR',
  response_from_cache_filter: 'RFCF',
  no_filter_config_found: 'NFCF',
  duration_timeout: 'DT',
  upstream_protocol_error: 'UPE',
  no_cluster_found: 'NC',
  overload_manager: 'OM',
  dns_resolution_failure: 'DF',
  downstream_remote_reset: 'DR',
} as const satisfies Partial<Record<keyof ResponseFlags, string>>;

export type Flag = (typeof SHORT)[keyof typeof SHORT] | 'UAEX';

const NAMES = Object.entries(SHORT) as [keyof typeof SHORT, Flag][]; // sound: Object.entries widens the keys

export function shortFlags(flags: ResponseFlags | null | undefined): ReadonlySet<Flag> {
  const out = new Set<Flag>();
  if (flags === undefined || flags === null) return out;
  for (const [field, short] of NAMES) if (flags[field] === true) out.add(short);
  if (flags.unauthorized_details !== undefined && flags.unauthorized_details !== null) out.add('UAEX');
  return out;
}
