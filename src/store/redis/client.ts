import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { SCRIPTS } from './scripts/all.ts';
import type { Script } from './scripts/lua.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** Where Redis is and how to get in; all secrets read. */
export interface RedisTarget {
  readonly kind: 'single' | 'sentinel' | 'cluster';
  /** The server, the Sentinels, or some nodes of the cluster. At least one. */
  readonly endpoints: readonly [Endpoint, ...Endpoint[]];
  readonly sentinelName: string;
  readonly db: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** Undefined: no TLS. */
  readonly tls: { readonly ca: string | undefined } | undefined;
}

export type RedisClient = Redis | Cluster;

/** A connection on which data does not come for this long while a command waits is cut. */
const SILENT_SOCKET_MS = 2_000;
const CONNECT_TIMEOUT_MS = 3_000;
/** What the nodes of a cluster must not have set. */
const STANDALONE = { enableOfflineQueue: false, retryStrategy: null, autoResubscribe: false } as const;

/** For commands; not connected yet. It ends where it fails or is lost: no command is ever sent a second time. */
export function createClient(target: RedisTarget): RedisClient {
  const client =
    target.kind === 'cluster'
      ? new Cluster([...target.endpoints], {
          lazyConnect: true,
          enableOfflineQueue: false,
          clusterRetryStrategy: null,
          maxRedirections: 4,
          slotsRefreshTimeout: SILENT_SOCKET_MS,
          slotsRefreshInterval: 5_000,
          redisOptions: common(target),
        })
      : new Redis(located(target, common(target)));
  for (const { name, keys, lua } of SCRIPTS)
    client.defineCommand(methodOf(name), keys === undefined ? { lua } : { lua, numberOfKeys: keys });
  return client;
}

/** Under a name that no command of Redis can have. */
export function methodOf(script: string): string {
  return `warmpath:${script}`;
}

/** Runs a script by its hash; ioredis sends the text where the server does not know it yet. */
export async function runScript(
  client: RedisClient,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  const method: unknown = Reflect.get(client, methodOf(script.name));
  if (typeof method !== 'function') throw new Error(`the script ${script.name} is not defined`);
  return method.call(client, ...(script.keys === undefined ? [keys.length] : []), ...keys, ...args);
}

/** For messages, likewise. `attempt` takes the nodes of a cluster in turn: each of them passes on all messages. */
export function createSubscriber(target: RedisTarget, attempt: number): Redis {
  const { kind, endpoints } = target;
  if (kind !== 'cluster') return new Redis(located(target, common(target)));
  return new Redis({
    ...common(target),
    ...STANDALONE,
    ...(endpoints[attempt % endpoints.length] ?? endpoints[0]),
  });
}

function located(target: RedisTarget, options: ReturnType<typeof common>) {
  const { endpoints, sentinelName, db, tls } = target;
  if (target.kind === 'single') return { ...options, ...STANDALONE, ...endpoints[0], db };
  return {
    ...options,
    ...STANDALONE,
    db,
    sentinels: [...endpoints],
    name: sentinelName,
    sentinelRetryStrategy: () => null,
    sentinelCommandTimeout: SILENT_SOCKET_MS,
    failoverDetector: true,
    enableTLSForSentinelMode: tls !== undefined,
    ...(tls === undefined ? {} : { sentinelTLS: tlsOptions(tls) }),
  };
}

function common(target: RedisTarget) {
  const { username, password, tls } = target;
  return {
    lazyConnect: true,
    protocol: 2,
    connectionName: 'warmpath',
    disableClientInfo: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    disconnectTimeout: 500,
    socketTimeout: SILENT_SOCKET_MS,
    keepAlive: 5_000,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls: tlsOptions(tls) }),
  } satisfies RedisOptions;
}

function tlsOptions({ ca }: { readonly ca: string | undefined }): { ca?: string } {
  return ca === undefined ? {} : { ca };
}
