import * as z from 'zod';
import type { NodeUrl } from '../fleet/types.ts';
import { duration } from './duration.ts';
import { grpcAddress, hostPort } from './host-port.ts';
import { parseNodeUrl } from './node-url.ts';
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
  gpuMetrics: z
    .strictObject(
      {
        url: z.httpUrl('expected a URL such as "http://gpu1:9400/metrics"'),
        match: z
          .record(z.string(), z.string('expected a text'), 'expected a section of LABEL: VALUE')
          .prefault({}),
        interval: duration({ min: '500ms', max: '10m' }).prefault('5s'),
      },
      'expected a section with a "url"',
    )
    .optional(),
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

const endpoint = z.strictObject({ host: text('a host name or IP address'), port: whole(1, 65_535) });
const storeKeys = {
  kind: oneOf(['memory', 'redis']).optional(),
  /** redis:// or rediss://; alone enough for `kind: redis`. */
  url: z
    .string('expected a URL')
    .regex(/^rediss?:\/\//, 'expected a URL such as "redis://cache:6379/0"')
    .optional(),
  keyPrefix: z
    .string('expected a text')
    .regex(/^[A-Za-z0-9:._-]{1,64}$/, 'expected 1 to 64 letters, digits, colons, dots, dashes or underscores')
    .prefault('warmpath:'),
  username: text('a name').optional(),
  password: text('a text').optional(),
  passwordFile: text('a path').optional(),
  tlsCa: text('a path').optional(),
  sentinels: z.array(endpoint, 'expected a list of host and port').max(64).prefault([]),
  sentinelName: text('a name').prefault('mymaster'),
  clusterNodes: z.array(endpoint, 'expected a list of host and port').max(1_024).prefault([]),
  commandTimeout: duration({ min: '5ms', max: '10s' }).prefault('250ms'),
};
const agentsKeys = {
  /** Where agents report to; undefined: nowhere. */
  listen: hostPort.optional(),
  /** Whoever has it may join as a node. `${VAR}` is replaced. */
  joinToken: z
    .string('expected a text')
    .regex(/^[\x21-\x7e]{16,4096}$/, 'expected 16 or more visible ASCII characters without blanks')
    .optional(),
  joinTokenFile: text('a path').optional(),
  tlsCert: text('a path').optional(),
  tlsKey: text('a path').optional(),
  /** Nodes that agents may register, all together. */
  maxNodes: whole(1, MAX_NODES).prefault(1_000),
  /** Whether an agent may name a loopback address: all on one machine. */
  allowLoopback: flag.prefault(false),
};
const discoveryInterval = duration({ min: '500ms', max: '24h' });
const nodePort = whole(1, 65_535).prefault(11_434);
const discoverySource = z.discriminatedUnion(
  'kind',
  [
    /** YAML or JSON list of nodes, as under `nodes`; read again when it changes. */
    z.strictObject({ kind: z.literal('file'), path: text('a path') }),
    z.strictObject({
      kind: z.literal('dns'),
      name: text('a DNS name'),
      type: oneOf(['A', 'AAAA', 'SRV']).prefault('A'),
      port: nodePort,
      interval: discoveryInterval.prefault('30s'),
    }),
    /** One Ollama per GPU on this machine. */
    z.strictObject({
      kind: z.literal('localhost'),
      ports: z
        .string('expected a range')
        .regex(/^\d{1,5}-\d{1,5}$/, 'expected a range such as "24000-24100"')
        .prefault('24000-24100'),
      interval: discoveryInterval.prefault('30s'),
    }),
    z.strictObject({ kind: z.literal('mdns'), interval: discoveryInterval.prefault('30s') }),
    /** EndpointSlices of a service. */
    z.strictObject({
      kind: z.literal('kubernetes'),
      namespace: text('a namespace').prefault('default'),
      selector: text('a label selector'),
      port: whole(1, 65_535).optional(),
      /** Undefined: the pod's own service account, else the user's kubeconfig. */
      kubeconfig: text('a path').optional(),
    }),
  ],
  'expected "kind" to be one of file, dns, localhost, mdns, kubernetes',
);
const discoveryKeys = {
  /** Who joins without being approved: agents with the token; all of the local network; nobody. */
  trust: oneOf(['token', 'lan', 'manual']).prefault('token'),
  sources: z.array(discoverySource, 'expected a list of sources').max(64).prefault([]),
  maxNodes: whole(1, MAX_NODES).prefault(1_000),
};

const ORIGIN = /^(?:\*|[a-zA-Z][a-zA-Z0-9+.-]{0,30}:\/\/[A-Za-z0-9.*_[\]-]{1,253}(?::(?:\d{1,5}|\*))?)$/;

export const settingsKeys = {
  listen: hostPort.prefault('0.0.0.0:11434'),
  admin: hostPort.prefault('127.0.0.1:9411'),
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
  replicas: z.array(grpcAddress, 'expected a list of addresses').max(16).prefault([]),
  agents: section(agentsKeys),
  discovery: section(discoveryKeys),
};
export const settingsSchema = z.strictObject(settingsKeys, 'expected a section of KEY: VALUE');
export type Settings = z.output<typeof settingsSchema>;

/** The keys that are known at each place, by path without list indices. */
export const KNOWN_KEYS: ReadonlyMap<string, readonly string[]> = new Map([
  ['', Object.keys(settingsKeys)],
  ['nodes', Object.keys(nodeKeys)],
  ['poll', Object.keys(pollKeys)],
  ['health', Object.keys(healthKeys)],
  ['routing', Object.keys(routingKeys)],
  ['limits', Object.keys(limitsKeys)],
  ['log', Object.keys(logKeys)],
  ['envoy', Object.keys(envoyKeys)],
  ['store', Object.keys(storeKeys)],
  ['agents', Object.keys(agentsKeys)],
  ['discovery', Object.keys(discoveryKeys)],
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
