import { afterEach, expect, it } from 'vitest';
import { realEnvoy } from '../support/envoy.ts';
import { figure } from '../support/figures.ts';
import { redisServer } from '../support/redis.ts';
import type { Replicas } from '../support/replicas.ts';
import { describeReal } from '../support/require-real.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { GENERATE, MODEL } from './faults/arena.ts';
import { failures, generateBody, sample } from './faults/load.ts';
import { closeSetups, load, type Setup, setUp, summary, unrouted } from './replicas/setup.ts';

afterEach(closeSetups);

/** Requests that run through either Envoy now, as both replicas count them. */
async function expectSameInflight({ set, fleet }: Setup, perEnvoy: number): Promise<void> {
  const body = generateBody(MODEL, 1_024, { tokens: 1_200 });
  const running = set.envoys.flatMap(({ url }) =>
    Array.from({ length: perEnvoy }, (_, i) => sample(url + GENERATE, i, body)),
  );
  const wanted = perEnvoy * set.envoys.length;
  await waitFor(`each replica to count ${wanted} requests`, async () => {
    const counts = await Promise.all(set.replicas.map((replica) => replica.inflight()));
    return counts.every((count) => count === wanted);
  });
  const [a, b] = await Promise.all(set.replicas.map((replica) => replica.status()));
  expect(a?.nodes.map(({ inflight }) => inflight)).toEqual(b?.nodes.map(({ inflight }) => inflight));
  const samples = await Promise.all(running);
  expect(failures(samples)).toEqual([]);
  await set.waitUntilIdle();
  expect(fleet.inference.length).toBe(wanted);
}

/** Every node is polled, by one replica, and all replicas know by which. */
async function waitForShares(set: Replicas, shares: readonly number[]): Promise<void> {
  await waitFor(`nodes to be shared out ${shares.join(' to ')}`, async () => {
    const reports = await Promise.all(
      set.replicas.filter(({ process }) => process.isRunning).map((replica) => replica.status()),
    );
    const pollers = reports.map(({ nodes }) => nodes.map(({ poller }) => poller));
    const counts = reports.map(({ replica }) => pollers[0]?.filter((poller) => poller === replica).length);
    return (
      pollers.every((each) => each.join() === pollers[0]?.join()) &&
      counts.sort().join() === [...shares].sort().join()
    );
  });
}

/** Without a store every replica finds out for itself. */
async function waitForAllPolling(set: Replicas): Promise<void> {
  await waitFor('each replica to poll all nodes', async () => {
    const reports = await Promise.all(set.replicas.map((replica) => replica.status()));
    return reports.every(({ replica, nodes }) => nodes.every(({ poller }) => poller === replica));
  });
}

describeReal(await realEnvoy(), 'two control planes that share a Redis', () => {
  describeReal(redisServer, 'behind real Envoys', () => {
    it('see the same requests in flight, whichever Envoy they come through and whichever replica routed them', async () => {
      await expectSameInflight(await setUp({ envoys: 2 }), 12);
    });

    it('poll each node once between them, and hand over to one that joins later', async () => {
      const { set, fleet } = await setUp();
      await waitForShares(set, [2, 2]);
      const count = () =>
        fleet.nodes.map(({ requests }) => requests.filter(({ path }) => path === '/api/ps').length);
      fleet.clearRequests();
      await pause(3_000);
      const polls = count();
      figure('polls of each node in 3 s at an interval of 250 ms', {
        most: Math.max(...polls),
        least: Math.min(...polls),
      });
      // One poller asks 11 or 12 times; two would ask 22 times.
      expect(Math.max(...polls)).toBeLessThan(16);
      expect(Math.min(...polls)).toBeGreaterThan(5);
      await set.replica(1).stop();
      await waitForShares(set, [4]);
      await set.replica(1).start();
      await waitForShares(set, [2, 2]);
    });

    it('G3: one of them killed under load, no request fails, and the other takes all over', async () => {
      const { set } = await setUp();
      await waitForShares(set, [2, 2]);
      const running = load(set.url);
      await pause(1_500);
      const [a, b] = [set.replica(0), set.replica(1)];
      await waitFor('both to route or count', async () => (await b.inflight()) > 0);
      const killedAt = performance.now();
      const sentBefore = running.sent;
      a.kill('SIGKILL');
      await a.process.exited;
      await waitForShares(set, [4]);
      const pollsMs = performance.now() - killedAt;
      await waitFor('its leases to end', async () => (await b.status()).sharing.replicas.length === 1);
      const leasesMs = performance.now() - killedAt;
      await pause(1_500);
      const samples = await running.stop();
      const last = samples.slice(-40);
      expect(failures(samples)).toEqual([]);
      expect(
        last.every(({ routed }) => routed),
        'the last second is routed',
      ).toBe(true);
      figure('G3 one of two replicas killed', {
        ...summary(samples),
        unroutedAfterKill: samples.slice(sentBefore).filter((each) => !each.routed).length,
        pollsTakenOverMs: pollsMs,
        replicaForgottenMs: leasesMs,
      });
      await set.waitUntilIdle();
      await a.start();
      await set.waitForReplicas(2);
      await a.waitUntilReady();
    });

    it('G4 F22: one of them stopped for 5 s, no request fails; going on, it takes up where the others are', async () => {
      const { set } = await setUp();
      await waitForShares(set, [2, 2]);
      const [a, b] = [set.replica(0), set.replica(1)];
      const running = load(set.url);
      await pause(1_500);
      const stoppedFrom = running.sent;
      a.kill('SIGSTOP');
      await pause(5_000);
      const stoppedTo = running.sent;
      expect((await b.status()).sharing.replicas).toHaveLength(1);
      expect((await b.status()).nodes.every(({ poller }) => poller !== null)).toBe(true);
      a.kill('SIGCONT');
      await set.waitForReplicas(2);
      await waitForShares(set, [2, 2]);
      const samples = await running.stop();
      expect(failures(samples)).toEqual([]);
      const meanwhile = samples.slice(stoppedFrom, stoppedTo);
      expect(unrouted(meanwhile.slice(-40)), 'long routed again by the other').toEqual([]);
      figure('G4 one of two replicas stopped for 5 s', {
        ...summary(samples),
        unroutedWhileStopped: unrouted(meanwhile).length,
        longestFirstByteMs: Math.max(...meanwhile.map(({ answer }) => answer?.firstByteMs ?? Number.NaN)),
      });
      await set.waitUntilIdle();
    });

    it('F40: start without Redis, each for itself, and join when it is there', async () => {
      const { set, redis } = await setUp({ waitForReplicas: false, isRedisUp: false });
      await waitForAllPolling(set);
      const running = load(set.url);
      await pause(1_000);
      await redis.start();
      await set.waitForReplicas(2, 20_000);
      await waitForShares(set, [2, 2]);
      const samples = await running.stop();
      expect(failures(samples)).toEqual([]);
      expect(unrouted(samples)).toEqual([]);
      await set.waitUntilIdle();
    });
  });
});
