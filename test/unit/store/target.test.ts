import { describe, expect, it } from 'vitest';
import { redisTarget } from '../../../src/store/redis/target.ts';
import { STORE_CONFIG } from '../../support/redis-store.ts';

const target = (config: Partial<typeof STORE_CONFIG>) => redisTarget({ ...STORE_CONFIG, ...config });
const cache = { host: 'cache.example', port: 6380 };

describe('where Redis is', () => {
  it.each([
    [{ url: 'redis://cache.example' }, 'single', [{ host: 'cache.example', port: 6379 }], 0],
    [{ url: 'redis://cache.example:6380/3' }, 'single', [cache], 3],
    [{ url: 'redis://[::1]:6380' }, 'single', [{ host: '::1', port: 6380 }], 0],
    [{ sentinels: [cache] }, 'sentinel', [cache], 0],
    [{ clusterNodes: [cache, cache] }, 'cluster', [cache, cache], 0],
  ])('%j is a %s', (config, kind, endpoints, db) => {
    expect(target(config)).toMatchObject({ kind, endpoints, db });
  });

  it('must be said', () => {
    expect(() => target({})).toThrow(/set store.url.*or store.sentinels, or store.clusterNodes/);
  });

  it('names the authority that cannot be read', () => {
    expect(() => target({ url: 'rediss://cache', tls: true, tlsCa: '/nowhere/ca.pem' })).toThrow(
      /^store.tlsCa: cannot read \/nowhere\/ca.pem \(ENOENT\)/,
    );
  });
});
