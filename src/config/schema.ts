import * as z from 'zod';
import { INFERENCE_ENDPOINTS } from '../request/endpoints.ts';
import { duration } from './duration.ts';
import { grpcAddress, hostPort, replicaAddress } from './host-port.ts';
import { portRange } from './port-range.ts';
import { extProcKeys } from './schema-ext-proc.ts';
import { gpuMetricsKeys, MAX_NODES, nodeKeys, nodeSchema } from './schema-nodes.ts';
import {
  clientKeys,
  clientsSchema,
  decisionsKeys,
  modelsSchema,
  rewriteKeys,
  routingKeys,
  waitingKeys,
} from './schema-requests.ts';
import { flag, guardToken, number, oneOf, section, text, whole } from './schema-values.ts';
import { shown } from './shown.ts';
import { size } from './size.ts';

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
const kubernetesNamespace = z
  .string('expected a namespace')
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'expected a namespace such as "default"')
  .prefault('default');
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
    namespace: kubernetesNamespace,
    selector: text('a label selector'),
    port: whole(1, 65_535).optional(),
    /** Undefined: the pod's own service account, else the user's kubeconfig. */
    kubeconfig: text('a path').optional(),
  },
  /** Pods of an InferencePool of the Gateway API Inference Extension. */
  inferencepool: {
    kind: z.literal('inferencepool'),
    namespace: kubernetesNamespace,
    name: z
      .string('expected the name of an InferencePool')
      .regex(/^(?=.{1,253}$)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/, 'expected a name such as "ollama"'),
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
    z.strictObject(discoverySourceKeys.inferencepool),
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
  /** gRPC addresses of other control planes that our Envoy may ask, beside our own; a name stands for all of its addresses. */
  replicas: z.array(replicaAddress, 'expected a list of addresses').max(16, 'has more than 16').prefault([]),
  agents: section(agentsKeys),
  discovery: section(discoveryKeys),
  waiting: section(waitingKeys),
  rewrites: section(rewriteKeys),
  models: modelsSchema,
  clients: clientsSchema,
  decisions: section(decisionsKeys),
  extProc: section(extProcKeys),
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
  ['waiting.classes', INFERENCE_ENDPOINTS.map(({ path }) => path)],
  ['rewrites', Object.keys(rewriteKeys)],
  ['clients', Object.keys(clientKeys)],
  ['decisions', Object.keys(decisionsKeys)],
  ['extProc', Object.keys(extProcKeys)],
  ...Object.entries(discoverySourceKeys).map(
    ([kind, keys]) => [`discovery.sources:${kind}`, Object.keys(keys)] as const,
  ),
]);
