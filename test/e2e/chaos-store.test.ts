import { afterEach, expect, it } from 'vitest';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { figure, quantile } from '../support/figures.ts';
import { type RealRedis, redisServer, startRedis } from '../support/redis.ts';
import { startSentinelGroup } from '../support/redis-groups.ts';
import { type Replicas, type ReplicasOptions, startReplicas } from '../support/replicas.ts';
import { describeReal } from '../support/require-real.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { compared, firstBytes, type Phase, PhasedLoad } from './chaos/phases.ts';
import { BRISK, MODEL, QUICK } from './faults/arena.ts';
import { failures } from './faults/load.ts';

/** Each fault lasts so long; CHAOS_FAULT_SECONDS=60 for the long run. */
const FAULT_MS = Number(process.env.CHAOS_FAULT_SECONDS ?? 3) * 1_000;
const CALM = 'calm';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setUp(
  options: Partial<ReplicasOptions> & Pick<ReplicasOptions, 'redis'>,
): Promise<{ fleet: SimulatedFleet; set: Replicas }> {
  const fleet = await startFleet(4, QUICK);
  cleanups.push(() => fleet.close());
  await Promise.all(fleet.nodes.map((node) => node.load(MODEL)));
  const nodes = fleet.specs.map((spec) => ({ ...spec, slots: QUICK.slots }));
  const set = await startReplicas({ nodes, envoys: 2, config: BRISK, ...options });
  cleanups.push(() => set.close());
  return { fleet, set };
}

const isUsed = (set: Replicas, wanted: boolean): Promise<unknown> =>
  waitFor(
    `Redis to be ${wanted ? 'used' : 'given up'} by each`,
    async () =>
      (await Promise.all(set.replicas.map((each) => each.metric('warmpath_store_up')))).every(
        (up) => up === (wanted ? 1 : 0),
      ),
    { timeoutMs: 20_000 },
  );

/** Resolves to how long it takes until each replica sees the other and counts what really runs. */
async function healed(set: Replicas, load: PhasedLoad): Promise<number> {
  const from = performance.now();
  await isUsed(set, true);
  await set.waitForReplicas(2, 20_000);
  await waitFor('each replica to be right to within two requests', async () => {
    const seen = await Promise.all(set.replicas.map((replica) => load.watch.look(replica)));
    return seen.every(({ error }) => Math.abs(error) <= 2);
  });
  return performance.now() - from;
}

/** What holds whatever is done to the store. */
function expectUnharmed(phase: Phase, usual: Phase): void {
  expect(failures(phase.samples), phase.name).toEqual([]);
  expect(
    phase.samples.filter(({ routed }) => !routed),
    `${phase.name}: unrouted`,
  ).toEqual([]);
  // Wide: the machine has other work. What would wait for Redis would wait 250 ms or more.
  const [p50, usualP50] = [quantile(firstBytes(phase), 0.5), quantile(firstBytes(usual), 0.5)];
  expect(p50, `${phase.name}: median first byte, ms`).toBeLessThan(2 * usualP50 + 50);
  expect(phase.rssMiB, `${phase.name}: memory, MiB`).toBeLessThan(1.3 * usual.rssMiB + 20);
}

/** A line for the fault, one for its end, and a few that go with them; not one for each of hundreds of requests. */
function expectFewLines(phase: Phase, replicas: number, changes = 2): void {
  expect(phase.logged.length, phase.logged.join('\n')).toBeLessThanOrEqual(replicas * changes * 2);
}

describeReal(await realEnvoy(), 'two control planes under load whose Redis is ill-treated', () => {
  describeReal(redisServer, 'behind real Envoys', (program) => {
    it('G6 F40 F41 F42 F43 F44 F46: no request fails, none waits, memory stays, and counts heal', {
      timeout: 10 * FAULT_MS + 120_000,
    }, async () => {
      const redis = await startRedis(program);
      cleanups.push(() => redis.stop());
      const way = await startFaultProxy(`http://${redis.address}`);
      cleanups.push(() => way.close());
      await redis.crash();
      const { fleet, set } = await setUp({ redis: `redis://${way.address}`, waitForReplicas: false });
      const load = new PhasedLoad(set, fleet);
      const healedMs: Record<string, number> = {};
      const fault = async (name: string, harm: () => Promise<unknown>, undo: () => Promise<unknown>) => {
        await load.phase(name, FAULT_MS, harm);
        expect((await set.replica(0).status()).nodes.map(({ status }) => status)).toEqual(
          fleet.nodes.map(() => 'ready'),
        );
        await undo();
        healedMs[name] = await healed(set, load);
        await load.phase(CALM, 1_500);
      };

      await fault(
        'absent at start',
        async () => {},
        () => redis.start(),
      );
      await load.phase(CALM, FAULT_MS);
      await fault(
        'killed',
        async () => {
          await redis.crash();
          await isUsed(set, false);
        },
        () => redis.start(),
      );
      await fault(
        'stopped',
        async () => {
          redis.kill('SIGSTOP');
          await isUsed(set, false);
        },
        async () => redis.kill('SIGCONT'),
      );
      await fault(
        'slow by 500 ms',
        async () => {
          way.fault = { latencyMs: 500 };
        },
        async () => {
          way.fault = {};
        },
      );
      await fault(
        'wiped each second',
        () => wipeFor(redis, FAULT_MS),
        async () => {},
      );
      await fault(
        'full',
        () => redis.send('CONFIG', 'SET', 'maxmemory', '1mb'),
        () => redis.send('CONFIG', 'SET', 'maxmemory', '0'),
      );

      const phases = await load.stop();
      const usual = phases.get(CALM);
      if (usual === undefined) throw new Error('no calm');
      for (const phase of phases.values()) {
        const heal = healedMs[phase.name];
        figure(`G6 Redis ${phase.name}`, {
          ...compared(phase, usual),
          ...(heal === undefined ? {} : { healedMs: heal }),
        });
      }
      for (const phase of phases.values()) {
        expectUnharmed(phase, usual);
        if (phase.name !== CALM) expectFewLines(phase, 2);
      }
      await set.waitUntilIdle();
    });

    it('F45: Sentinels put another Redis in its place: no request fails, and both go on with the new one', {
      timeout: 120_000,
    }, async () => {
      const group = await startSentinelGroup(program);
      cleanups.push(() => group.stop());
      const sentinels = group.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
      const { fleet, set } = await setUp({
        redis: group.master.url,
        config: { ...BRISK, store: { sentinels } },
      });
      const load = new PhasedLoad(set, fleet);
      await load.phase(CALM, FAULT_MS);
      const killedAt = performance.now();
      let upAgainMs = 0;
      await load.phase('failover', FAULT_MS, async () => {
        await group.master.crash();
        await isUsed(set, false);
        await isUsed(set, true);
        upAgainMs = performance.now() - killedAt;
      });
      const healedMs = await healed(set, load);
      expect(await group.masterPort()).toBe(group.replica.port);
      const phases = await load.stop();
      const [usual, failover] = [phases.get(CALM), phases.get('failover')];
      if (usual === undefined || failover === undefined) throw new Error('a phase is missing');
      figure('G6 Redis failover by Sentinels', { ...compared(failover, usual), upAgainMs, healedMs });
      expectUnharmed(usual, usual);
      expectUnharmed(failover, usual);
      expectFewLines(failover, 2, 4);
      await set.waitUntilIdle();
    });
  });
});

async function wipeFor(redis: RealRedis, ms: number): Promise<void> {
  for (let past = 0; past < ms; past += 1_000) {
    expect(await redis.send('FLUSHALL')).toBe('+OK');
    await pause(1_000);
  }
}
