import { afterAll, beforeAll } from 'vitest';
import type { RealRedis } from '../support/redis.ts';
import { redisServer, startRedis } from '../support/redis.ts';
import {
  type RedisCluster,
  type SentinelGroup,
  startCluster,
  startSentinelGroup,
} from '../support/redis-groups.ts';
import { isUp, openRedisStore } from '../support/redis-store.ts';
import { describeReal } from '../support/require-real.ts';
import { pause } from '../support/wait-for.ts';
import { itNeverDrifts } from './lease-property.ts';
import { describeStore, type StoreHarness } from './store.ts';

describeReal(redisServer, 'one Redis', (program) => {
  let redis: RealRedis;
  beforeAll(async () => {
    redis = await startRedis(program);
  });
  afterAll(() => redis.stop());

  const harness: StoreHarness = {
    open: async () => {
      await redis.send('FLUSHALL');
      const stores = [1, 2, 3].map(() => openRedisStore({ url: redis.url }).store);
      await Promise.all(stores.map((store) => isUp(store)));
      return stores;
    },
    advance: pause,
  };
  describeStore('redis', harness);
  itNeverDrifts(harness, 40);
});

describeReal(redisServer, 'Sentinel', (program) => {
  let group: SentinelGroup;
  beforeAll(async () => {
    group = await startSentinelGroup(program);
  });
  afterAll(() => group.stop());

  const harness: StoreHarness = {
    open: async () => {
      await group.master.send('FLUSHALL');
      const sentinels = group.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
      const stores = [1, 2, 3].map(() => openRedisStore({ sentinels }).store);
      await Promise.all(stores.map((store) => isUp(store)));
      return stores;
    },
    advance: pause,
  };
  describeStore('redis behind Sentinel', harness);
});

describeReal(redisServer, 'Cluster', (program) => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await startCluster(program);
  });
  afterAll(() => cluster.stop());

  const harness: StoreHarness = {
    open: async () => {
      await cluster.flush();
      // Each replica is told of another node only: the rest it finds out.
      const stores = cluster.masters.map(
        ({ port }) => openRedisStore({ clusterNodes: [{ host: '127.0.0.1', port }] }).store,
      );
      await Promise.all(stores.map((store) => isUp(store)));
      return stores;
    },
    advance: pause,
  };
  describeStore('redis cluster', harness);
  itNeverDrifts(harness, 15);
});
