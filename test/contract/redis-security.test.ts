import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeCertificate } from '../support/certificate.ts';
import { firstExecutable, onPath } from '../support/find-program.ts';
import { freePort } from '../support/free-port.ts';
import { type RealRedis, redisServer, startRedis } from '../support/redis.ts';
import { startCluster } from '../support/redis-groups.ts';
import { isUp, openRedisStore } from '../support/redis-store.ts';
import { describeReal, requireReal } from '../support/require-real.ts';
import { tempDir } from '../support/temp-dir.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { describeStore, info } from './store.ts';

const PASSWORD = 'correct-horse-battery-staple';
const manual = readFileSync(resolve(import.meta.dirname, '../../docs/redis.md'), 'utf8');
const openssl = {
  name: 'openssl',
  path: firstExecutable(onPath('openssl')),
  missing: 'openssl is not on this machine: install it to test TLS',
};

describeReal(redisServer, 'a Redis with users', (program) => {
  let redis: RealRedis;
  beforeAll(async () => {
    const line = /^user warmpath .*$/m.exec(manual)?.[0];
    if (line === undefined) throw new Error('docs/redis.md has no line that begins with "user warmpath"');
    redis = await startRedis(program, { config: [line.replace('PASSWORD', PASSWORD)] });
  });
  afterAll(() => redis.stop());
  const user = () => ({ url: redis.url, username: 'warmpath', password: PASSWORD });

  describeStore('redis with the rights that the manual names, and no other', {
    open: async () => {
      await redis.send('FLUSHALL');
      const stores = [1, 2, 3].map(() => openRedisStore(user()).store);
      await Promise.all(stores.map((store) => isUp(store)));
      return stores;
    },
    advance: pause,
  });

  it('is never asked for anything else', async () => {
    await redis.send('ACL', 'LOG', 'RESET');
    const { store } = openRedisStore(user());
    store.subscribe('a', () => {});
    await isUp(store);
    await store.heartbeat(info('a'), 1_000);
    expect(await redis.send('ACL', 'LOG')).toBe('*0');
    await store.close();
  });

  it.each([
    ['other keys', { keyPrefix: 'other:' }, 'NOPERM'],
    ['a wrong password', { password: 'wrong-password' }, 'WRONGPASS'],
    ['a wrong password, and what to do', { password: 'wrong-password' }, 'store.passwordFile'],
  ])('says what is wrong with %s, and never the password', async (_, wrong, code) => {
    const { store, log } = openRedisStore({ ...user(), ...wrong });
    await waitFor('the store to be down', () => store.state === 'down');
    await store.close();
    expect(log.messages('warn')).toEqual([expect.stringContaining(code)]);
    expect(JSON.stringify(log.lines)).not.toMatch(/correct-horse|wrong-password/);
  });

  it('says what is new about a Redis that is down already where somebody must put it right, once', async () => {
    await redis.send('ACL', 'SETUSER', 'moved', 'on', '>old', '~*', '&*', '+@all');
    const { store, log } = openRedisStore({ url: redis.url, username: 'moved', password: 'old' });
    await isUp(store);
    await redis.send('ACL', 'SETUSER', 'moved', 'resetpass', '>new');
    await redis.send('CLIENT', 'KILL', 'USER', 'moved');
    await waitFor('the second warning', () => log.count('warn') === 2);
    await pause(1_000);
    expect(log.messages('warn')).toEqual([
      expect.stringContaining('tried again in the background'),
      expect.stringMatching(
        /still fails, now for another reason \(Redis: WRONGPASS .*\)\. Give its user and password/,
      ),
    ]);
    await store.close();
  });

  it('says so where it has no such database, and writes into no other', async () => {
    await redis.send('FLUSHALL');
    const { store, log } = openRedisStore({ ...user(), url: `${redis.url}/999` });
    await waitFor('the store to be down', () => store.state === 'down');
    await store.close();
    expect(log.messages('warn')).toEqual([
      expect.stringContaining('no database of the number in "store.url"'),
    ]);
    expect(await redis.send('DBSIZE')).toBe(':0');
  });

  it('says once that a command is not allowed, while the others work', async () => {
    await redis.send('ACL', 'SETUSER', 'lame', 'on', '>x', '~*', '&*', '+@all', '-hset');
    const { store, log } = openRedisStore({ url: redis.url, username: 'lame', password: 'x' });
    await isUp(store);
    for (let i = 0; i < 8; i++)
      await expect(store.putDocument('drains', 'n1', i)).rejects.toMatchObject({ reason: 'refused' });
    expect(await store.claimOnce('works', 1_000)).toBe(true);
    expect(store.state).toBe('up');
    expect(log.messages('warn')).toHaveLength(1);
    await store.close();
  });
});

describeReal(redisServer, 'a Cluster with users', (program) => {
  it('asks for no right that the manual does not name', async () => {
    const line = /^user warmpath .*$/m.exec(manual)?.[0] ?? '';
    const added = /Add `(.+)` for a Cluster/.exec(manual)?.[1] ?? 'no line about a Cluster';
    const cluster = await startCluster(program, {
      config: [`${line.replace('PASSWORD', PASSWORD)} ${added}`],
    });
    const { store } = openRedisStore({
      clusterNodes: cluster.masters.map(({ port }) => ({ host: '127.0.0.1', port })),
      username: 'warmpath',
      password: PASSWORD,
    });
    const heard: unknown[] = [];
    store.subscribe('a', ({ body }) => heard.push(body));
    await isUp(store);
    await store.publish({ from: 'b', to: 'a', topic: 'outcomes', body: 1 });
    await waitFor('the message', () => heard.length === 1);
    await store.saveNodes(
      Array.from({ length: 50 }, (_, i) => ({ id: `n${i}`, facts: i })),
      60_000,
    );
    for (const master of cluster.masters) expect(await master.send('ACL', 'LOG')).toBe('*0');
    await store.close();
    await cluster.stop();
  });
});

describeReal(redisServer, 'a Redis with TLS', (program) => {
  describe('whose certificate is our own authority’s', () => {
    it('is used where that authority is named, and not where it is not', async (context) => {
      const dir = tempDir();
      const [key, cert] = [join(dir.path, 'key.pem'), join(dir.path, 'cert.pem')];
      writeCertificate(
        { key, cert },
        { name: 'redis.example', altName: 'IP:127.0.0.1', openssl: requireReal(context, openssl) },
      );
      const port = await freePort();
      const config = [
        `tls-port ${port}`,
        `tls-cert-file ${cert}`,
        `tls-key-file ${key}`,
        `tls-ca-cert-file ${cert}`,
      ];
      const redis = await startRedis(program, { config: [...config, 'tls-auth-clients no'] });
      const secure = { url: `rediss://127.0.0.1:${port}`, tls: true };

      const { store: trusting } = openRedisStore({ ...secure, tlsCa: cert });
      const heard: unknown[] = [];
      trusting.subscribe('a', ({ body }) => heard.push(body));
      await isUp(trusting);
      await trusting.publish({ from: 'b', to: 'a', topic: 'outcomes', body: 'secret' });
      await waitFor('the message', () => heard.length === 1);

      const { store: strict, log } = openRedisStore(secure);
      await waitFor('the store to be down', () => strict.state === 'down');
      expect(log.messages('warn')).toEqual([expect.stringMatching(/self-signed certificate/)]);
      await Promise.all([trusting.close(), strict.close()]);
      await redis.stop();
      dir.remove();
    });
  });
});
