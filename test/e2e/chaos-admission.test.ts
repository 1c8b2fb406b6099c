import { afterEach, expect, it } from 'vitest';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { figure } from '../support/figures.ts';
import { redisServer, startRedis } from '../support/redis.ts';
import { type Replicas, startReplicas } from '../support/replicas.ts';
import { describeReal } from '../support/require-real.ts';
import { pause } from '../support/wait-for.ts';
import { type AtOnce, atOnce } from './chaos/at-once.ts';
import { BRISK, GENERATE, MODEL, QUICK } from './faults/arena.ts';
import { failures, generateBody, type Sample, sample } from './faults/load.ts';

const ROUNDS = 15;
/** Each request runs about 60 ms. */
const BODY = generateBody(MODEL, 256, { tokens: 24 });

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setUp(
  program: string,
  count: number,
  slots: number,
): Promise<{ fleet: SimulatedFleet; set: Replicas }> {
  const fleet = await startFleet(count, { ...QUICK, slots });
  cleanups.push(() => fleet.close());
  await Promise.all(fleet.nodes.map((node) => node.load(MODEL)));
  const redis = await startRedis(program);
  cleanups.push(() => redis.stop());
  const nodes = fleet.specs.map((spec) => ({ ...spec, slots }));
  const set = await startReplicas({ nodes, redis: redis.url, envoys: 2, config: BRISK });
  cleanups.push(() => set.close());
  return { fleet, set };
}

/** All at once, to these Envoys in turn; again when all have been answered. */
async function bursts(urls: readonly string[], size: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const burst = Array.from({ length: size }, (_, i) =>
      sample(`${urls[i % urls.length]}${GENERATE}`, i, BODY),
    );
    samples.push(...(await Promise.all(burst)));
    // A lease ends a moment after its client has the answer.
    await pause(40);
  }
  return samples;
}

/** One after the other for each client, with pauses of their own. */
async function clients(urls: readonly string[], count: number, ms: number): Promise<Sample[]> {
  const until = performance.now() + ms;
  const samples: Sample[] = [];
  await Promise.all(
    Array.from({ length: count }, async (_, client) => {
      while (performance.now() < until) {
        samples.push(await sample(`${urls[client % urls.length]}${GENERATE}`, client, BODY));
        await pause(20 + 7 * client);
      }
    }),
  );
  return samples;
}

function measured(fleet: SimulatedFleet, slots: number): AtOnce & { readonly abovePercent: number } {
  const all = fleet.nodes.map((node) => atOnce(node.inferenceRequests, slots));
  const above = all.reduce((sum, each) => sum + each.above, 0);
  return {
    most: Math.max(...all.map(({ most }) => most)),
    above,
    abovePercent: (100 * above) / fleet.inference.length,
  };
}

describeReal(await realEnvoy(), 'two Envoys, each with a control plane of its own', () => {
  describeReal(redisServer, 'that share a Redis', (program) => {
    it.each([
      { slots: 1, count: 8 },
      { slots: 2, count: 4 },
    ])(
      'F18: bursts as large as all free slots ($count nodes, $slots each) go over them by what the other sent at the same moment',
      {
        timeout: 60_000,
      },
      async ({ slots, count }) => {
        const { fleet, set } = await setUp(program, count, slots);
        const [first = '', second = ''] = set.envoys.map(({ url }) => url);
        const size = slots * count;
        for (const [what, urls] of [
          ['one control plane', [first]],
          ['two control planes', [first, second]],
        ] as const) {
          await set.waitUntilIdle();
          fleet.clearRequests();
          const burst = await bursts(urls, size);
          const inBursts = measured(fleet, slots);
          await set.waitUntilIdle();
          fleet.clearRequests();
          const steady = await clients(urls, Math.floor(size * 0.75), 1_500);
          const inSteady = measured(fleet, slots);
          const name = `F18 ${count} nodes of ${slots} slots, ${what}`;
          figure(`${name}, bursts of ${size}`, { requests: burst.length, ...inBursts });
          figure(`${name}, ${Math.floor(size * 0.75)} clients`, { requests: steady.length, ...inSteady });
          expect(failures([...burst, ...steady])).toEqual([]);
          expect([...burst, ...steady].every(({ routed }) => routed)).toBe(true);
          // Each keeps to the slots as it sees them, so that the worst is that both fill the same ones.
          expect(inBursts.most).toBeLessThanOrEqual(slots * 2 + 1);
          expect(inSteady.most).toBeLessThanOrEqual(slots + 2);
        }
      },
    );
  });
});
