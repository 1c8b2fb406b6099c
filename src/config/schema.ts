import * as z from 'zod';
import type { NodeUrl } from '../fleet/types.ts';
import { INFERENCE_ENDPOINTS } from '../request/endpoints.ts';
import { modelKey } from '../request/model-name.ts';
import { SHADOW_POLICIES } from '../routing/rivals/names.ts';
import { REQUEST_CLASSES } from '../waiting/types.ts';
import { duration } from './duration.ts';
import { gpuMetricsUrl } from './gpu-metrics-url.ts';
import { grpcAddress, hostPort } from './host-port.ts';
import { parseNodeUrl } from './node-url.ts';
import { portRange } from './port-range.ts';
import { shown } from './shown.ts';
import { size } from './size.ts';

export const MAX_NODES = 10_000;
const NAME = /^[A-Za-z0-9._-]{1,64}$/;
const NAME_RULE = '1 to 64 letters, digits, dots, dashes or underscores';

const text = (what: string) =>
  z.string(`expected ${what}`).min(1, `expected ${what}, got ""`).max(4_096, 'is too long');
const number = (what: string, min: number, max: number) =>
  z.number(`expected ${what}`).min(min, `expected ${what}`).max(max, `expected ${what}`);
const whole = (min: number, max: number) => {
  const what = `expected a whole number from ${min} to ${max}`;
  return z.int(what).min(min, what).max(max, what);
};
const flag = z.boolean('expected true or false');

/** A token travels in a header: visible ASCII without blanks. `${VAR}` has been replaced before. */
export const TOKEN = /^[\x21-\x7e]{1,4096}$/;

const gpuMetricsKeys = {
  url: gpuMetricsUrl,
  /** Only samples with these labels are this node's. */
  match: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, 'is no name of a Prometheus label'),
      z
        .string('expected a text; put numbers and true or false in quotes')
        .max(256, 'has more than 256 characters'),
      'expected a section of LABEL: VALUE',
    )
    .refine((labels) => Object.keys(labels).length <= 16, 'has more than 16 labels')
    .prefault({}),
  interval: duration({ min: '500ms', max: '10m' }).prefault('5s'),
};
export const nodeKeys = {
  name: z.string('expected a name').regex(NAME, `expected ${NAME_RULE}`).optional(),
  url: z.string('expected a URL such as "http://gpu1:11434"').transform((value, context): NodeUrl => {
    const result = parseNodeUrl(value);
    if ('url' in result) return result.url;
    context.issues.push({ code: 'custom', message: result.problem, input: value });
    return z.NEVER;
  }),
  token: z
    .string('expected a text')
    .regex(TOKEN, 'expected visible ASCII characters without blanks')
    .optional(),
  tokenFile: text('a path').optional(),
  tlsCa: text('a path').optional(),
  slots: whole(1, 4_096).optional(),
  vram: size({ min: '1MiB', max: '1024TiB' }).optional(),
  labels: z
    .record(
      z.string().regex(NAME, `a label's key has ${NAME_RULE}`),
      z
        .string('expected a text; put numbers and true or false in quotes')
        .max(256, 'has more than 256 characters'),
      'expected a section of KEY: VALUE',
    )
    .refine((labels) => Object.keys(labels).length <= 64, 'has more than 64 labels')
    .prefault({}),
  weight: number('a number from 0.01 to 100', 0.01, 100).prefault(1),
  drain: flag.prefault(false),
  gpuMetrics: z.strictObject(gpuMetricsKeys, 'expected a section with a "url"').optional(),
};
export const nodeSchema = z.strictObject(nodeKeys, 'expected a section with a "url"');
/** A node as the file has it, each value valid by itself. */
export type NodeInput = z.output<typeof nodeSchema>;

const pollKeys = {
  interval: duration({ min: '100ms', max: '5m' }).prefault('1s'),
  tagsInterval: duration({ min: '500ms', max: '1h' }).prefault('10s'),
  versionInterval: duration({ min: '1s', max: '24h' }).prefault('60s'),
  timeout: duration({ min: '50ms', max: '60s' }).prefault('2s'),
  connectTimeout: duration({ min: '10ms', max: '30s' }).prefault('750ms'),
  jitter: number('a number from 0 to 1', 0, 1).prefault(0.1),
  maxBodyBytes: size({ min: '4KiB', max: '64MiB' }).prefault('4MiB'),
};
const healthKeys = {
  downAfter: whole(1, 100).prefault(2),
  readmitAfter: duration({ min: '0s', max: '1h' }).prefault('2s'),
  readmitMax: duration({ min: '0s', max: '24h' }).prefault('300s'),
  slowStart: duration({ min: '0s', max: '1h' }).prefault('30s'),
};
const routingKeys = {
  maxAttempts: whole(1, 20).prefault(3),
  firstByteTimeout: duration({ min: '100ms', max: '24h' }).prefault('60s'),
  loadTimeout: duration({ min: '100ms', max: '24h' }).prefault('5m'),
  answerTimeout: duration({ min: '1s', max: '24h' }).prefault('10m'),
  defaultLoadRate: size({ min: '1MiB', max: '1TiB', suffix: '/s' }).prefault('500MiB'),
  /** A second policy, asked beside the first about every request: what it would have cost is told, nothing follows from it. */
  shadow: oneOf(SHADOW_POLICIES).optional(),
};
const requestClass = oneOf(REQUEST_CLASSES);
const waitingKeys = {
  /** How long a request may wait for a free slot where its client does not say; 0s: nobody waits here, the nodes queue. */
  maxWait: duration({ min: '0s', max: '1h' }).prefault('30s'),
  /** Requests in the line at once; further ones are refused. */
  maxRequests: whole(1, 100_000).prefault(1_000),
  /** Memory that their bodies may take. */
  maxBytes: size({ min: '1MiB', max: '64GiB' }).prefault('256MiB'),
  /** So long in the line counts as much as one class. */
  ageing: duration({ min: '100ms', max: '1h' }).prefault('10s'),
  defaultClass: requestClass.prefault('normal'),
  /** By path, for callers that nothing else is known of. */
  classes: z
    .partialRecord(
      z.enum(
        INFERENCE_ENDPOINTS.map(({ path }) => path),
        'is no inference path',
      ),
      requestClass,
      'expected a section of PATH: CLASS',
    )
    .prefault({}),
  /** Whether callers may say `x-warmpath-class` and `x-warmpath-deadline` themselves. */
  trustHeaders: flag.prefault(true),
};
const rewriteKeys = {
  /** `pin`: a context that fits into the one in memory is set to that, and a larger one goes to the next of `numCtxBuckets`. */
  numCtx: oneOf(['pin', 'off']).prefault('pin'),
  numCtxBuckets: z
    .array(whole(1, 2 ** 30), 'expected a list of contexts, in tokens')
    .max(32, 'has more than 32 entries')
    .prefault([]),
  /** Contexts beyond it are cut down to it. */
  numCtxMax: whole(1, 2 ** 30).optional(),
  /** Requests that keep the model for less time than that keep it so long, and those for more, so long. */
  keepAliveMin: duration({ min: '0s', max: '8760h' }).optional(),
  keepAliveMax: duration({ min: '1s', max: '8760h' }).optional(),
  /** Who may unload a model (`keep_alive: 0`). */
  unload: oneOf(['privileged', 'anyone']).prefault('privileged'),
  /** What becomes of num_gpu, main_gpu, num_thread, num_batch, use_mmap and their like from callers without privilege. */
  runnerOptions: oneOf(['pass', 'strip', 'deny']).prefault('pass'),
};
const decisionsKeys = {
  /** Decisions and how they ended are appended here, one JSON document a line, for `warmpath simulate --replay`. No prompts. */
  record: text('a path').optional(),
  /** The file is begun anew beyond this; one earlier file is kept. */
  maxBytes: size({ min: '1MiB', max: '64GiB' }).prefault('256MiB'),
};
const modelName = z
  .string('expected the name of a model')
  .refine((name) => modelKey(name) !== undefined, 'is no name of a model');
const limitsKeys = { body: size({ min: '1KiB', max: '1GiB' }).prefault('64MiB') };
const logKeys = {
  level: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).prefault('info'),
  format: oneOf(['auto', 'json', 'pretty']).prefault('auto'),
};
const envoyKeys = {
  path: text('a path').optional(),
  concurrency: whole(1, 256).optional(),
  drainTime: duration({ min: '0s', max: '1h' }).prefault('30s'),
};

const endpointKeys = {
  host: z
    .string('expected a host name or IP address')
    .regex(/^[A-Za-z0-9._:-]{1,253}$/, 'expected a host name or IP address (IPv6 without brackets)'),
  port: whole(1, 65_535),
};
const endpoint = z.strictObject(endpointKeys, 'expected a section with "host" and "port"');
const secret = z
  .string('expected a text')
  .min(1, 'must not be empty')
  .max(4_096, 'has more than 4096 characters');
const storeKeys = {
  /** Needed only where nothing below says it: an address makes it redis. */
  kind: oneOf(['memory', 'redis']).optional(),
  /** redis:// or rediss:// of one server. A user and password in it are taken out, see resolve-store.ts. */
  url: z.string('expected a URL such as "redis://cache:6379/0"').optional(),
  keyPrefix: z
    .string('expected a text')
    .regex(/^[A-Za-z0-9:._-]{1,64}$/, 'expected 1 to 64 letters, digits, colons, dots, dashes or underscores')
    .prefault('warmpath:'),
  username: text('a name').optional(),
  password: secret.optional(),
  passwordFile: text('a path').optional(),
  /** rediss:// says the same of a URL. */
  tls: flag.optional(),
  tlsCa: text('a path').optional(),
  sentinels: z.array(endpoint, 'expected a list of host and port').max(64, 'has more than 64').prefault([]),
  sentinelName: text('a name').prefault('mymaster'),
  clusterNodes: z
    .array(endpoint, 'expected a list of host and port')
    .max(1_024, 'has more than 1024')
    .prefault([]),
  commandTimeout: duration({ min: '5ms', max: '10s' }).prefault('250ms'),
};
/** Short ones could be guessed over the network. */
export const JOIN_TOKEN = /^[\x21-\x7e]{16,4096}$/;
export const JOIN_TOKEN_RULE = 'expected 16 or more visible ASCII characters without blanks';
const guardToken = z.string('expected a text').regex(JOIN_TOKEN, JOIN_TOKEN_RULE);
/** A caller that is known by the key that it sends as bearer token. */
const clientKeys = {
  name: z.string('expected a name').regex(NAME, `expected ${NAME_RULE}`),
  key: guardToken.optional(),
  keyFile: text('a path').optional(),
  class: requestClass.optional(),
  /** May unload models and set runner options. */
  privileged: flag.prefault(false),
};
const agentsKeys = {
  /** Where agents report to; undefined: nowhere. */
  listen: hostPort.optional(),
  /** Whoever has it may join as a node. */
  joinToken: guardToken.optional(),
  joinTokenFile: text('a path').optional(),
  tlsCert: text('a path').optional(),
  tlsKey: text('a path').optional(),
  /** Nodes that agents may register, all together. */
  maxNodes: whole(1, MAX_NODES).prefault(1_000),
  /** Whether an agent may name a loopback address: all on one machine. */
  allowLoopback: flag.prefault(false),
};
const discoveryInterval = duration({ min: '500ms', max: '24h' });
const dnsName = z
  .string('expected a DNS name')
  .regex(
    /^(?=.{1,253}$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?$/,
    'expected a DNS name such as "ollama.lan"',
  );
export const discoverySourceKeys = {
  /** YAML or JSON list of nodes, as under `nodes`; read again when it changes. */
  file: { kind: z.literal('file'), path: text('a path') },
  dns: {
    kind: z.literal('dns'),
    name: dnsName,
    type: oneOf(['A', 'AAAA', 'SRV']).prefault('A'),
    port: whole(1, 65_535).prefault(11_434),
    interval: discoveryInterval.prefault('30s'),
  },
  /** One Ollama per GPU on this machine. */
  localhost: {
    kind: z.literal('localhost'),
    ports: portRange.prefault('24000-24100'),
    interval: discoveryInterval.prefault('30s'),
  },
  mdns: { kind: z.literal('mdns'), interval: discoveryInterval.prefault('30s') },
  /** EndpointSlices of a service. */
  kubernetes: {
    kind: z.literal('kubernetes'),
    namespace: z
      .string('expected a namespace')
      .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'expected a namespace such as "default"')
      .prefault('default'),
    selector: text('a label selector'),
    port: whole(1, 65_535).optional(),
    /** Undefined: the pod's own service account, else the user's kubeconfig. */
    kubeconfig: text('a path').optional(),
  },
};
const discoverySource = z.discriminatedUnion(
  'kind',
  [
    z.strictObject(discoverySourceKeys.file),
    z.strictObject(discoverySourceKeys.dns),
    z.strictObject(discoverySourceKeys.localhost),
    z.strictObject(discoverySourceKeys.mdns),
    z.strictObject(discoverySourceKeys.kubernetes),
  ],
  {
    error: ({ input }) => {
      const kinds = Object.keys(discoverySourceKeys).join(', ');
      return typeof input === 'object' && input !== null && 'kind' in input
        ? `expected one of ${kinds}, got ${shown(input.kind)}`
        : `expected a section whose "kind" is one of ${kinds}`;
    },
  },
);
const discoveryKeys = {
  /** Who joins without being approved: agents with the token; all of the local network; nobody. */
  trust: oneOf(['token', 'lan', 'manual']).prefault('token'),
  sources: z
    .array(discoverySource, 'expected a list of sources')
    .max(64, 'has more than 64 sources')
    .prefault([]),
  maxNodes: whole(1, MAX_NODES).prefault(1_000),
};

const ORIGIN = /^(?:\*|[a-zA-Z][a-zA-Z0-9+.-]{0,30}:\/\/[A-Za-z0-9.*_[\]-]{1,253}(?::(?:\d{1,5}|\*))?)$/;

export const settingsKeys = {
  listen: hostPort.prefault('0.0.0.0:11434'),
  admin: hostPort.prefault('127.0.0.1:9411'),
  /** Lets `warmpath nodes` change the fleet from other machines; `adminTokenFile` holds it in a file. */
  adminToken: guardToken.optional(),
  adminTokenFile: text('a path').optional(),
  grpc: grpcAddress.optional(),
  stateDir: text('a path').optional(),
  nodes: z
    .array(nodeSchema, 'expected a list of nodes')
    .max(MAX_NODES, `has more than ${MAX_NODES} nodes`)
    .prefault([]),
  poll: section(pollKeys),
  health: section(healthKeys),
  routing: section(routingKeys),
  limits: section(limitsKeys),
  responseHeaders: flag.prefault(true),
  origins: z
    .array(
      z
        .string('expected an origin')
        .regex(ORIGIN, 'expected an origin such as "https://chat.example.com" or "app://*"'),
      'expected a list of origins',
    )
    .max(256, 'has more than 256 origins')
    .prefault([]),
  log: section(logKeys),
  envoy: section(envoyKeys),
  store: section(storeKeys),
  /** gRPC addresses of other control planes that our Envoy may ask, beside our own. */
  replicas: z.array(grpcAddress, 'expected a list of addresses').max(16, 'has more than 16').prefault([]),
  agents: section(agentsKeys),
  discovery: section(discoveryKeys),
  waiting: section(waitingKeys),
  rewrites: section(rewriteKeys),
  /** Names that clients may ask for, and the models that serve them, best first. */
  models: z
    .record(
      modelName,
      z.union(
        [modelName.transform((name) => [name]), z.array(modelName).min(1).max(8)],
        'expected a model or a list of models, best first',
      ),
      'expected a section of ALIAS: MODELS',
    )
    .refine((models) => Object.keys(models).length <= 1_000, 'has more than 1000 names')
    .prefault({}),
  clients: z
    .array(
      z.strictObject(clientKeys, 'expected a section with "name" and "key"'),
      'expected a list of clients',
    )
    .max(1_000, 'has more than 1000 clients')
    .prefault([]),
  decisions: section(decisionsKeys),
};
export const settingsSchema = z.strictObject(settingsKeys, 'expected a section of KEY: VALUE');
export type Settings = z.output<typeof settingsSchema>;

/** The keys that are known at each place, by path without list indices; after a colon the `kind` that they go with. */
export const KNOWN_KEYS: ReadonlyMap<string, readonly string[]> = new Map([
  ['', Object.keys(settingsKeys)],
  ['nodes', Object.keys(nodeKeys)],
  ['nodes.gpuMetrics', Object.keys(gpuMetricsKeys)],
  ['poll', Object.keys(pollKeys)],
  ['health', Object.keys(healthKeys)],
  ['routing', Object.keys(routingKeys)],
  ['limits', Object.keys(limitsKeys)],
  ['log', Object.keys(logKeys)],
  ['envoy', Object.keys(envoyKeys)],
  ['store', Object.keys(storeKeys)],
  ['store.sentinels', Object.keys(endpointKeys)],
  ['store.clusterNodes', Object.keys(endpointKeys)],
  ['agents', Object.keys(agentsKeys)],
  ['discovery', Object.keys(discoveryKeys)],
  ['waiting', Object.keys(waitingKeys)],
  ['rewrites', Object.keys(rewriteKeys)],
  ['clients', Object.keys(clientKeys)],
  ['decisions', Object.keys(decisionsKeys)],
  ...Object.entries(discoverySourceKeys).map(
    ([kind, keys]) => [`discovery.sources:${kind}`, Object.keys(keys)] as const,
  ),
]);

function section<Shape extends z.ZodRawShape>(shape: Shape) {
  // `{}` lacks no key: every key of a section has a default or is optional.
  return z
    .strictObject(shape, 'expected a section of KEY: VALUE')
    .prefault({} as z.input<z.ZodObject<Shape>>);
}

function oneOf<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z.enum(words, {
    error: (issue) => `expected one of ${words.join(', ')}, got ${shown(issue.input)}`,
  });
}
