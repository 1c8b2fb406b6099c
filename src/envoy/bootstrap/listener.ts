import { HEADER } from '../names.ts';
import { requestLog } from './access-logs.ts';
import { anyBut } from './any-but.ts';
import { httpFilters } from './filters.ts';
import { localReplyConfig } from './local-replies.ts';
import { extension, type Message, seconds } from './message.ts';
import type { BootstrapOptions } from './options.ts';
import { routeConfig } from './routes.ts';

/** Prefixes of headers that only we and Envoy may write: what clients send under them is dropped before anything reads it. */
const INTERNAL_PREFIXES = ['x-gateway-', 'x-envoy-', 'x-forwarded-'];
/** What clients may say of their requests; all else under our own prefix is internal. */
const FOR_CLIENTS = [HEADER.requestClass, HEADER.deadline];
const INTERNAL_HEADERS = [
  'x-request-id',
  'x-real-ip',
  'forwarded',
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
];

/** The port that clients use. */
export function clientListener(options: BootstrapOptions): Message {
  return {
    name: 'clients',
    address: listenAddress(options.listen),
    // What a slow client's answer may pile up; request bodies have their own limit on the routes, never below this.
    per_connection_buffer_limit_bytes: Math.min(1024 * 1024, options.limits.bodyBytes),
    ignore_global_conn_limit: false,
    filter_chains: [{ filters: [connectionManager(options)] }],
  };
}

/** `::` takes IPv4 clients as well, as Ollama does. */
function listenAddress({ host, port }: BootstrapOptions['listen']): Message {
  const ipv4 = host === '::' ? { ipv4_compat: true } : {};
  return { socket_address: { address: host, port_value: port, ...ipv4 } };
}

function connectionManager(options: BootstrapOptions): Message {
  const { timeouts } = options;
  return extension(
    'http',
    'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    {
      stat_prefix: 'clients',
      codec_type: 'AUTO',
      ...strictness(),
      request_headers_timeout: seconds(timeouts.requestHeaders),
      request_timeout: seconds(timeouts.request),
      stream_idle_timeout: seconds(timeouts.streamIdle),
      // Answers say nothing about what stands between the client and its model.
      server_header_transformation: 'PASS_THROUGH',
      generate_request_id: true,
      use_remote_address: true,
      skip_xff_append: true,
      // No client is internal, whatever its address: an empty list would mean every private network.
      internal_address_config: { cidr_ranges: [{ address_prefix: '255.255.255.255', prefix_len: 32 }] },
      early_header_mutation_extensions: [stripInternalHeaders()],
      local_reply_config: localReplyConfig(options),
      access_log: [requestLog()],
      http_filters: httpFilters(options),
      route_config: routeConfig(options),
    },
  );
}

/** How much of what is legal, or nearly so, is let in. */
function strictness(): Message {
  return {
    normalize_path: true,
    merge_slashes: true,
    // Names of models may have them (`/v1/models/team%2Fx`, as OpenAI's clients write it); the routes refuse all others.
    path_with_escaped_slashes_action: 'KEEP_UNCHANGED',
    strip_trailing_host_dot: true,
    max_request_headers_kb: 60,
    common_http_protocol_options: {
      headers_with_underscores_action: 'DROP_HEADER',
      max_headers_count: 100,
      idle_timeout: '3600s',
    },
    http_protocol_options: { accept_http_10: true, default_host_for_http_10: 'localhost' },
    http2_protocol_options: {
      max_concurrent_streams: 100,
      initial_stream_window_size: 1024 * 1024,
      initial_connection_window_size: 16 * 1024 * 1024,
    },
  };
}

function stripInternalHeaders(): Message {
  return extension(
    'strip-internal',
    'envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation',
    {
      mutations: [
        ...INTERNAL_PREFIXES.map((prefix) => ({ remove_on_match: { key_matcher: { prefix } } })),
        { remove_on_match: { key_matcher: { safe_regex: { regex: anyBut('x-warmpath-', FOR_CLIENTS) } } } },
        ...INTERNAL_HEADERS.map((name) => ({ remove: name })),
      ],
    },
  );
}
