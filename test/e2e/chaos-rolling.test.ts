import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { envoyStat } from '../support/envoy-stats.ts';
import { figure, quantile } from '../support/figures.ts';
import { redisServer, startRedis } from '../support/redis.ts';
import { startReplicas } from '../support/replicas.ts';
import { describeReal } from '../support/require-real.ts';
import { waitFor } from '../support/wait-for.ts';
import { CHAOS_RESTARTS } from './chaos/settings.ts';
import { BRISK, GENERATE, MODEL, QUICK } from './faults/arena.ts';
import { failures, generateBody, Load } from './faults/load.ts';

/** Four hundred a second: how long the streams are that every restart finds running. */
const LONG_TOKENS = Number(process.env.CHAOS_STREAM_TOKENS ?? 400);

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describeReal(await realEnvoy(), 'two control planes that are restarted in turn', () => {
  describeReal(redisServer, 'under load through two real Envoys', (program) => {
    it(`F27 G16: ${CHAOS_RESTARTS} graceful restarts cut no stream, fail no request, and Envoy never has to go on without an answer`, {
      timeout: CHAOS_RESTARTS * 15_000 + 60_000,
    }, async () => {
      const fleet = await startFleet(4, QUICK);
      cleanups.push(() => fleet.close());
      await Promise.all(fleet.nodes.map((node) => node.load(MODEL)));
      const redis = await startRedis(program);
      cleanups.push(() => redis.stop());
      const nodes = fleet.specs.map((spec) => ({ ...spec, slots: QUICK.slots }));
      const set = await startReplicas({ nodes, redis: redis.url, envoys: 2, config: BRISK });
      cleanups.push(() => set.close());
      const stat = async (name: RegExp): Promise<number[]> =>
        Promise.all(
          set.envoys.map((_, index) =>
            envoyStat(join(set.replica(index).stateDir, 'envoy-admin.sock'), name),
          ),
        );
      const allowed = async (): Promise<number> =>
        (await stat(/ext_proc\..*failure_mode_allowed$/)).reduce((sum, each) => sum + each, 0);
      const allowedBefore = await allowed();

      // Streams of a second, which every restart finds running, and short requests between them.
      const [long, short] = [LONG_TOKENS, 8].map((tokens) => generateBody(MODEL, 1_024, { tokens }));
      const loads = set.envoys.map(
        ({ url }) =>
          new Load(url, {
            perSecond: 20,
            path: GENERATE,
            body: (index) => (index % 8 === 0 ? long : short),
          }),
      );
      const tookMs: number[] = [];
      const events: { readonly at: number; readonly what: string }[] = [];
      const note = (what: string): number => events.push({ at: performance.now(), what });
      for (let restart = 0; restart < CHAOS_RESTARTS; restart += 1) {
        const replica = set.replica(restart % 2);
        const from = performance.now();
        note(`control plane ${replica.index} told to stop`);
        await replica.stop();
        note('stopped');
        expect(replica.process.output).not.toMatch(/are cut|ended with an error/);
        await replica.start();
        await replica.waitUntilReady();
        note('ready');
        // What any rolling restart must wait for: that the Envoys have seen it healthy.
        await waitFor('both Envoys to take it for healthy', async () =>
          (await stat(/^cluster\.warmpath\.membership_healthy$/)).every((healthy) => healthy === 2),
        );
        note('healthy');
        tookMs.push(performance.now() - from);
      }
      const samples = (await Promise.all(loads.map((load) => load.stop()))).flat();
      const failedOpen = (await allowed()) - allowedBefore;
      const unrouted = samples.filter(({ routed }) => !routed);
      figure(`F27 ${CHAOS_RESTARTS} graceful restarts of two control planes`, {
        requests: samples.length,
        failed: failures(samples).length,
        unrouted: unrouted.length,
        failedOpen,
        restartP50Ms: quantile(tookMs, 0.5),
        restartMaxMs: Math.max(...tookMs),
        firstByteP50Ms: quantile(
          samples.map(({ answer }) => answer?.firstByteMs ?? Number.POSITIVE_INFINITY),
          0.5,
        ),
        firstByteP99Ms: quantile(
          samples.map(({ answer }) => answer?.firstByteMs ?? Number.POSITIVE_INFINITY),
          0.99,
        ),
      });
      expect(failures(samples)).toEqual([]);
      // When, for whoever has to find out why.
      const when = unrouted.map(({ sentAt }) => {
        const last = events.findLast(({ at }) => at <= sentAt);
        return `${Math.round(sentAt - (last?.at ?? 0))} ms after ${last?.what}`;
      });
      expect(when, 'unrouted').toEqual([]);
      expect(failedOpen, 'requests that Envoy let pass unrouted').toBe(0);
      await set.waitUntilIdle();
    });
  });
});
