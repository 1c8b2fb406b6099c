/** Names that the bootstrap, the Lua filters, the ext_proc processor and the access log agree on. */
export const CLUSTER = {
  /** Nodes as our EDS server names them, with override_host. */
  nodes: 'nodes',
  /** Nodes last known, from a file: used where ext_proc did not route. */
  lastKnown: 'nodes_last_known',
  /** This control plane's ext_proc over gRPC, as long as it says that it is healthy. */
  warmpath: 'warmpath',
  /** The same control plane, healthy or not: EDS, which it needs before it is, and the access log, which it may miss least. */
  feeds: 'warmpath_feeds',
} as const;

/** Longest id of a request that is kept: Envoy's own are shorter, another gateway may pass on what its clients wrote. */
export const MAX_REQUEST_ID = 128;

export const HEADER = {
  cluster: 'x-warmpath-cluster',
  decision: 'x-warmpath-decision',
  node: 'x-warmpath-node',
  attempts: 'x-warmpath-attempts',
  error: 'x-warmpath-error',
  /** A client's own words about its request: how urgent it is, and how long it may wait. */
  requestClass: 'x-warmpath-class',
  deadline: 'x-warmpath-deadline',
  /** The client's address, as Envoy saw it. */
  clientAddress: 'x-envoy-external-address',
  /** The same where another's proxy does not tell that one: it is the last. */
  forwardedFor: 'x-forwarded-for',
  authorization: 'authorization',
  /** Where Anthropic's clients send their key. */
  apiKey: 'x-api-key',
  /** What gateways say of a request: its objective, between whom to be fair, and when its first token is due, ms. llm-d has names of its own. */
  objective: 'x-gateway-inference-objective',
  objectiveLlmD: 'x-llm-d-inference-objective',
  fairness: 'x-gateway-inference-fairness-id',
  fairnessLlmD: 'x-llm-d-inference-fairness-id',
  firstTokenMs: 'x-slo-ttft-ms',
  firstTokenMsLlmD: 'x-llm-d-slo-ttft-ms',
  /** Conformance tests of gateways say where a request shall go, and want to hear where it went. */
  testSelection: 'test-epp-endpoint-selection',
  testServed: 'x-conformance-test-served-endpoint',
  maxRetries: 'x-envoy-max-retries',
  perTryTimeout: 'x-envoy-upstream-rq-per-try-timeout-ms',
  retriableStatusCodes: 'x-envoy-retriable-status-codes',
  /** On answers: nodes that were tried, where the route says so; and only on those that a node gave. */
  attemptCount: 'x-envoy-attempt-count',
  upstreamTime: 'x-envoy-upstream-service-time',
} as const;

/** Dynamic metadata of a request. */
export const METADATA = {
  /** Read by the override_host policy; only ext_proc can write it. */
  lb: 'envoy.lb',
  destination: 'x-gateway-destination-endpoint',
  /** In the same namespace: the endpoint that answered, as the policy tells it. */
  served: 'x-gateway-destination-endpoint-served',
  /** A proxy's word about which endpoints are allowed at all, and the field that has it. */
  subsetHint: 'envoy.lb.subset_hint',
  subset: 'x-gateway-destination-endpoint-subset',
  /** `bones` from the Lua filter; blanked by ext_proc's answer. Also the namespace of endpoint metadata (`name`, `authorization`). */
  warmpath: 'warmpath',
  bones: 'bones',
  /** What the Lua tap read from the answer. */
  tap: 'warmpath.tap',
} as const;

/** Numbers (`error` is a boolean) in the tap's metadata; durations in nanoseconds as Ollama writes them. */
export const TAP = {
  promptTokens: 'prompt_tokens',
  completionTokens: 'completion_tokens',
  totalNs: 'total_ns',
  loadNs: 'load_ns',
  promptEvalNs: 'prompt_eval_ns',
  evalNs: 'eval_ns',
  error: 'error',
} as const;

/** `log_name` of the two gRPC access logs. */
export const LOG = { requests: 'requests', attempts: 'attempts' } as const;

/** `response_code_details` of the replies that ext_proc makes start so; they already have their API's shape. */
export const DETAILS_PREFIX = 'warmpath_';

/** Details of the answers about the fleet. Envoy's mappers set the content type by them: JSON, or plain text for `/`. */
export const DETAILS = { readJson: 'warmpath_read', readText: 'warmpath_read_text' } as const;
