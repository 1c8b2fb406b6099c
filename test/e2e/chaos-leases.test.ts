import { afterEach, expect, it } from 'vitest';
import { startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { figure, quantile } from '../support/figures.ts';
import { redisServer, startRedis } from '../support/redis.ts';
import { startReplicas } from '../support/replicas.ts';
import { describeReal } from '../support/require-real.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { waitFor } from '../support/wait-for.ts';
import { HangUps } from './chaos/hang-ups.ts';
import { chaos, HARMS } from './chaos/harm.ts';
import { heldInRedis } from './chaos/held-in-redis.ts';
import { InflightWatch, worst } from './chaos/inflight-watch.ts';
import { CHAOS_SECONDS, CHAOS_SEED } from './chaos/settings.ts';
import { BRISK, GENERATE, MODEL, QUICK } from './faults/arena.ts';
import { failures, generateBody, Load } from './faults/load.ts';

const REPLICAS = 3;

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describeReal(await realEnvoy(), 'three control planes of which everything around them is ill-treated', () => {
  describeReal(redisServer, 'with streams through two real Envoys', (program) => {
    it(`G12 F48: ${CHAOS_SECONDS} s of kills, stops, wipes, partitions and hang-ups fail no request and leave no lease`, {
      timeout: CHAOS_SECONDS * 1_000 + 90_000,
    }, async () => {
      const fleet = await startFleet(4, QUICK);
      cleanups.push(() => fleet.close());
      await Promise.all(fleet.nodes.map((node) => node.load(MODEL)));
      const redis = await startRedis(program);
      cleanups.push(() => redis.stop());
      const ways = await Promise.all(
        Array.from({ length: REPLICAS }, () => startFaultProxy(`http://${redis.address}`)),
      );
      cleanups.push(() => Promise.all(ways.map((way) => way.close())));
      const set = await startReplicas({
        nodes: fleet.specs.map((spec) => ({ ...spec, slots: QUICK.slots })),
        redis: redis.url,
        count: REPLICAS,
        envoys: 2,
        config: BRISK,
        each: (index) => ({ store: { url: `redis://${ways[index]?.address}` } }),
      });
      cleanups.push(() => set.close());

      const random = seededRandom(CHAOS_SEED);
      // Half of the answers stream for half a second, half for a few milliseconds.
      const bodies = [200, 8].map((tokens) => generateBody(MODEL, 1_024, { tokens }));
      const loads = set.envoys.map(
        ({ url }) => new Load(url, { perSecond: 15, path: GENERATE, body: (index) => bodies[index % 2] }),
      );
      const hangUps = new HangUps(set.url + GENERATE, bodies[0], 5, seededRandom(CHAOS_SEED + 1));
      const watch = new InflightWatch(set, fleet);

      const done = await chaos({ redis, set, ways }, CHAOS_SECONDS * 1_000, random);
      expect(Object.keys(done).length, 'kinds of harm').toBeGreaterThanOrEqual(
        Math.min(5, Object.keys(HARMS).length),
      );

      // Under the same load still: within a few seconds all know again what runs where.
      const chaosEndedAt = performance.now();
      await waitFor(
        'each replica to be right to within two requests per replica',
        async () => {
          const seen = await Promise.all(set.replicas.map((replica) => watch.look(replica)));
          return seen.every(({ error }) => Math.abs(error) <= 2);
        },
        { timeoutMs: 10_000 },
      );
      const healedMs = performance.now() - chaosEndedAt;

      const hungUp = await hangUps.stop();
      const samples = (await Promise.all(loads.map((load) => load.stop()))).flat();
      const loadEndedAt = performance.now();
      await set.waitUntilIdle(5_000);
      await waitFor('Redis to hold no lease', async () => JSON.stringify(await heldInRedis(redis)) === '{}', {
        timeoutMs: Math.max(1_000, 5_000 - (performance.now() - loadEndedAt)),
      });
      const idleMs = performance.now() - loadEndedAt;
      const seen = await watch.stop();

      figure(`G12 ${CHAOS_SECONDS} s of chaos, seed ${CHAOS_SEED}`, {
        ...done,
        requests: samples.length,
        hungUp,
        failed: failures(samples).length,
        unrouted: samples.filter(({ routed }) => !routed).length,
        looks: seen.length,
        errorP50: quantile(
          seen.map(({ error }) => Math.abs(error)),
          0.5,
        ),
        errorP99: quantile(
          seen.map(({ error }) => Math.abs(error)),
          0.99,
        ),
        ...worst(seen),
        healedMs,
        idleMs,
      });
      expect(failures(samples)).toEqual([]);
      expect(samples.length).toBeGreaterThan(CHAOS_SECONDS * 20);
      expect(Math.min(...seen.map(({ lowest }) => lowest)), 'lowest count').toBe(0);
    });
  });
});
