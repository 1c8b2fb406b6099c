import { INFERENCE_ENDPOINTS, READS, type ReadEndpoint } from '../../request/endpoints.ts';
import { CLUSTER, HEADER } from '../names.ts';
import { FILTER, without } from './filters.ts';
import { foreignHost } from './hosts.ts';
import { type Message, seconds } from './message.ts';
import type { BootstrapOptions } from './options.ts';
import { corsPolicy, preflightRoute } from './origins.ts';
import { isLoopback } from './sockets.ts';

const DENIED = without(FILTER.bones, FILTER.extProc, FILTER.tap);
const READ = without(FILTER.bones, FILTER.tap);

/** Headers that clients' requests carry and nodes have no use for. */
const NOT_FOR_NODES = [
  'origin',
  'cookie',
  'x-forwarded-proto',
  'x-forwarded-for',
  HEADER.clientAddress,
  HEADER.cluster,
  HEADER.requestClass,
  HEADER.deadline,
  HEADER.apiKey,
];

/**
 * Everything that can be asked for, default deny: only a listed method on a listed path has a cluster, all else is
 * answered by Envoy itself, whether the control plane lives or not.
 */
export function routeConfig(options: BootstrapOptions): Message {
  const exposed = options.exposeHeaders ? [HEADER.node, HEADER.attempts, HEADER.decision, HEADER.error] : [];
  return {
    name: 'clients',
    max_direct_response_body_size_bytes: 4096,
    virtual_hosts: [
      {
        name: 'clients',
        domains: ['*'],
        request_body_buffer_limit: options.limits.bodyBytes,
        typed_per_filter_config: { [FILTER.cors]: corsPolicy(options.origins, exposed) },
        routes: [
          ...guards(options),
          ...INFERENCE_ENDPOINTS.flatMap(({ path }) => inferenceRoutes(path, options)),
          ...READS.flatMap((read) => readRoutes(read, options)),
          // Refused before this as an upgrade; the route keeps it out of Lua and ext_proc, which would wait for a body.
          refuse({ connect_matcher: {} }, 403, 'CONNECT is not supported'),
          refuse(
            { safe_regex: { regex: '(?i).*%(2f|5c).*' } },
            400,
            'escaped slashes are not allowed in this path',
          ),
          refuse({ prefix: '/' }, 403, 'this path is not allowed here'),
        ],
      },
    ],
  };
}

/** Refusals that hold for every path. */
function guards(options: BootstrapOptions): Message[] {
  const rebinding = isLoopback(options.listen.host)
    ? [
        refuse(
          { prefix: '/', headers: [foreignHost(options.hostnames)] },
          403,
          'this Host is not allowed on a loopback listener',
        ),
      ]
    : [];
  const expectation = { name: 'expect', string_match: { exact: '100-continue', ignore_case: true } };
  return [
    ...rebinding,
    preflightRoute(options.origins, without(FILTER.cors, FILTER.bones, FILTER.extProc, FILTER.tap)),
    refuse(
      {
        prefix: '/',
        headers: [
          { name: 'expect', present_match: true },
          { ...expectation, invert_match: true },
        ],
      },
      417,
      'this Expect header is not supported',
    ),
  ];
}

function inferenceRoutes(path: string, options: BootstrapOptions): Message[] {
  const encoded = [
    { name: 'content-encoding', present_match: true },
    {
      name: 'content-encoding',
      string_match: { safe_regex: { regex: '(?i)identity|' } },
      invert_match: true,
    },
  ];
  return [
    refuse(
      { path, headers: [method('POST'), ...encoded] },
      415,
      'encoded request bodies are not supported: send the JSON uncompressed',
    ),
    ...forward({ path }, ['POST'], options, {}),
    wrongMethod({ path }, ['POST']),
  ];
}

/** A character that is no slash, neither plain nor escaped, in either direction. */
const UNSLASHED = '[^/%]|%[^25/]|%2[^fF/]|%5[^cC/]';

function readRoutes({ path, isPrefix, methods }: ReadEndpoint, options: BootstrapOptions): Message[] {
  if (!isPrefix) return [...forward({ path }, methods, options, READ), wrongMethod({ path }, methods)];
  const prefix = path.replaceAll('.', '\\.');
  const one = { safe_regex: { regex: `${prefix}(${UNSLASHED})+` } };
  const further = { safe_regex: { regex: `${prefix}.+` } };
  return [
    ...forward(one, methods, options, READ),
    // Names with slashes, escaped or not: the control plane knows them, no node does.
    {
      ...refuse({ ...further, headers: [anyMethod(methods)] }, 404, '404 page not found'),
      typed_per_filter_config: READ,
    },
    wrongMethod(further, methods),
  ];
}

function method(name: string): Message {
  return { name: ':method', string_match: { exact: name } };
}

function anyMethod(names: readonly string[]): Message {
  return { name: ':method', string_match: { safe_regex: { regex: names.join('|') } } };
}

/** Two routes: where the control plane said, and, if it said nothing, to any of the nodes last known. */
function forward(
  match: Message,
  methods: readonly string[],
  options: BootstrapOptions,
  disabled: Message,
): Message[] {
  const route = (headers: readonly Message[], action: Message): Message => ({
    match: { ...match, headers: [anyMethod(methods), ...headers] },
    route: {
      auto_host_rewrite: true,
      // Streams end by stream_idle_timeout, or when their ends wish.
      timeout: '0s',
      ...action,
    },
    typed_per_filter_config: disabled,
    request_headers_to_remove: NOT_FOR_NODES,
    ...responseHeaders(options),
  });
  const { limits, timeouts } = options;
  return [
    route([{ name: HEADER.cluster, present_match: true }], {
      cluster_header: HEADER.cluster,
      retry_policy: retryPolicy(limits.attempts - 1, [429, 500, 502, 503, 504]),
    }),
    route([], {
      cluster: CLUSTER.lastKnown,
      retry_policy: {
        // A node that lacks the model says 404 at once: the next one may have it.
        ...retryPolicy(limits.attempts - 1, [404, 429, 500, 502, 503, 504]),
        per_try_timeout: seconds(timeouts.failOpenFirstByte),
        retry_host_predicate: [
          {
            name: 'previous-hosts',
            typed_config: {
              '@type':
                'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
            },
          },
        ],
        // Drawn again until the draw is a new one: fewer than this leaves a good node untried now and then.
        host_selection_retry_max_attempts: 64,
      },
    }),
  ];
}

function retryPolicy(retries: number, statusCodes: readonly number[]): Message {
  return {
    retry_on: 'connect-failure,refused-stream,reset,retriable-status-codes',
    retriable_status_codes: statusCodes,
    num_retries: retries,
    retry_back_off: { base_interval: '0.002s', max_interval: '0.01s' },
  };
}

/** Which node answered, after how many tries, by which decision. What a node itself says of that is dropped. */
function responseHeaders({ exposeHeaders }: BootstrapOptions): Message {
  const own = [HEADER.node, HEADER.attempts, HEADER.decision];
  if (!exposeHeaders) return { response_headers_to_remove: own };
  const header = (key: string, value: string) => ({
    header: { key, value },
    append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
  });
  return {
    response_headers_to_remove: own,
    response_headers_to_add: [
      header(HEADER.node, '%UPSTREAM_METADATA(warmpath:name)%'),
      header(HEADER.attempts, '%UPSTREAM_REQUEST_ATTEMPT_COUNT%'),
      header(HEADER.decision, `%REQ(${HEADER.decision})%`),
    ],
  };
}

function wrongMethod(match: Message, allowed: readonly string[]): Message {
  return {
    ...refuse(match, 405, `this path only takes ${allowed.join(', ')}`),
    response_headers_to_add: [{ header: { key: 'allow', value: allowed.join(', ') } }],
  };
}

/** Answered by Envoy at once: no Lua, no ext_proc, no body read. */
function refuse(match: Message, status: number, message: string): Message {
  return {
    match,
    direct_response: { status, body: { inline_string: message } },
    typed_per_filter_config: DENIED,
  };
}
