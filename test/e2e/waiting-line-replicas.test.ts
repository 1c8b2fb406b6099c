import { afterEach, expect, it } from 'vitest';
import { startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { figure } from '../support/figures.ts';
import { post } from '../support/http-client.ts';
import { type RealRedis, redisServer, startRedis } from '../support/redis.ts';
import { startReplicas } from '../support/replicas.ts';
import { describeReal } from '../support/require-real.ts';
import { waitFor } from '../support/wait-for.ts';
import { BRISK, GENERATE, MODEL, QUICK } from './faults/arena.ts';

const SLOTS = 2;
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setUp() {
  const fleet = await startFleet(2, { ...QUICK, slots: SLOTS });
  cleanups.push(() => fleet.close());
  await Promise.all(fleet.nodes.map((node) => node.load(MODEL)));
  const redis: RealRedis = await startRedis(redisServer.path ?? '');
  cleanups.push(() => redis.stop());
  const set = await startReplicas({
    nodes: fleet.specs.map((spec) => ({ ...spec, slots: SLOTS })),
    redis: redis.url,
    envoys: 2,
    config: BRISK,
  });
  cleanups.push(() => set.close());
  return { fleet, redis, set };
}

function ask(url: string, tokens: number): Promise<{ readonly status: number }> {
  return post(url + GENERATE, { model: MODEL, prompt: 'hello', options: { num_predict: tokens } });
}

const isReal = await realEnvoy();

describeReal(
  redisServer.path === undefined ? redisServer : isReal,
  'the waiting lines of two control planes',
  () => {
    it('F18: never promise one free slot twice', async () => {
      const { fleet, set } = await setUp();
      // Fills all slots through the first; both know before anybody waits.
      const [first] = set.envoys;
      const occupants = Array.from({ length: 2 * SLOTS }, () => ask(first?.url ?? '', 800));
      await waitFor('both replicas to count the occupants', async () => {
        const counts = await Promise.all(set.replicas.map((replica) => replica.inflight()));
        return counts.every((count) => count === 2 * SLOTS);
      });
      const startedAt = performance.now();
      const waiting = set.envoys.flatMap(({ url }) => Array.from({ length: 40 }, () => ask(url, 20)));
      const answers = await Promise.all([...occupants, ...waiting]);
      figure('F18 80 waiting over two control planes', { ms: performance.now() - startedAt });
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
      for (const node of fleet.nodes) {
        const changes = node.inferenceRequests.flatMap((each) => [
          { at: each.startedAt, by: 1 },
          { at: each.endedAt ?? Number.POSITIVE_INFINITY, by: -1 },
        ]);
        let running = 0;
        let most = 0;
        for (const { by } of changes.sort((a, b) => a.at - b.at || a.by - b.by)) {
          running += by;
          most = Math.max(most, running);
        }
        expect(most).toBeLessThanOrEqual(SLOTS);
      }
      await set.waitUntilIdle();
    });

    it('F28: go on without their store, each with its share of the slots', async () => {
      const { redis, set } = await setUp();
      await redis.crash();
      const answers = await Promise.all(
        set.envoys.flatMap(({ url }) => Array.from({ length: 20 }, () => ask(url, 20))),
      );
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
      await set.waitUntilIdle();
    });
  },
);
