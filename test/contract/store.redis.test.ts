import { afterAll, beforeAll } from 'vitest';
import type { RealRedis } from '../support/redis.ts';
import { redisServer, startRedis } from '../support/redis.ts';
import { isUp, openRedisStore } from '../support/redis-store.ts';
import { describeReal } from '../support/require-real.ts';
import { pause } from '../support/wait-for.ts';
import { describeStore } from './store.ts';

describeReal(redisServer, 'one Redis', (program) => {
  let redis: RealRedis;
  beforeAll(async () => {
    redis = await startRedis(program);
  });
  afterAll(() => redis.stop());

  describeStore('redis', {
    open: async () => {
      await redis.send('FLUSHALL');
      const stores = [open(), open(), open()] as const;
      await Promise.all(stores.map((store) => isUp(store)));
      return stores;
    },
    advance: pause,
  });

  const open = () => openRedisStore({ url: redis.url }).store;
});
