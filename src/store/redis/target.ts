import { readFileSync } from 'node:fs';
import type { StoreConfig } from '../../config/config.ts';
import type { Endpoint, RedisTarget } from './client.ts';

/** Where Redis is, from the configuration. Throws with the remedy where a file cannot be read or nothing says where. */
export function redisTarget(config: StoreConfig): RedisTarget {
  const url = config.url === undefined ? undefined : new URL(config.url);
  const shared = {
    sentinelName: config.sentinelName,
    db: databaseOf(url),
    username: config.username,
    password: config.password,
    tls: config.tls ? { ca: config.tlsCa === undefined ? undefined : readCa(config.tlsCa) } : undefined,
  };
  const [sentinel, ...sentinels] = config.sentinels;
  if (sentinel !== undefined) return { ...shared, kind: 'sentinel', endpoints: [sentinel, ...sentinels] };
  const [node, ...nodes] = config.clusterNodes;
  if (node !== undefined) return { ...shared, kind: 'cluster', endpoints: [node, ...nodes] };
  if (url === undefined || url.hostname === '')
    throw new Error(
      'store: says kind: redis, but not where it is: set store.url, such as redis://cache:6379/0, or store.sentinels, or store.clusterNodes',
    );
  return { ...shared, kind: 'single', endpoints: [endpointOf(url)] };
}

function endpointOf(url: URL): Endpoint {
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? 6379 : Number(url.port) };
}

function databaseOf(url: URL | undefined): number {
  const path = url?.pathname.replace(/^\//, '') ?? '';
  if (path === '') return 0;
  if (/^\d{1,4}$/.test(path)) return Number(path);
  throw new Error('store.url: the path must be a database number, such as in redis://cache:6379/0');
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new Error(`store.tlsCa: cannot read ${path} (${code}): check the path and who may read it`, {
      cause: error,
    });
  }
}
