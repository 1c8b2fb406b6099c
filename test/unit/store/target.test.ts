import { describe, expect, it } from 'vitest';
import { exposureOf, redisTarget } from '../../../src/store/redis/target.ts';
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

describe('who else may reach Redis (S28)', () => {
  it.each([
    ['on this machine', { url: 'redis://127.0.0.1' }, undefined],
    ['on this machine by name', { url: 'redis://localhost' }, undefined],
    ['on this machine, IPv6', { url: 'redis://[::1]' }, undefined],
    ['with TLS and password', { url: 'rediss://cache', tls: true, password: 'x' }, undefined],
    ['open', { url: 'redis://cache' }, 'without TLS and without a password'],
    ['with a password in the clear', { url: 'redis://10.0.0.1', password: 'x' }, 'without TLS:'],
    ['with TLS for anybody', { url: 'rediss://cache', tls: true }, 'without a password:'],
    ['one node of many elsewhere', { clusterNodes: [{ host: '127.0.0.1', port: 1 }, cache] }, 'without TLS'],
  ])('%s', (_, config, warning) => {
    const exposure = exposureOf(target(config));
    if (warning === undefined) expect(exposure).toBeUndefined();
    else expect(exposure).toContain(warning);
  });
});
