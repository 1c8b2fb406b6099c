import { afterEach, beforeEach, expect, it } from 'vitest';
import { SharedLeases } from '../../src/app/sharing/shared-leases.ts';
import { SystemClock } from '../../src/app/system-clock.ts';
import { LeaseLedger } from '../../src/fleet/ledger.ts';
import type { Store } from '../../src/store/contract.ts';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import { type RealRedis, redisServer, startRedis } from '../support/redis.ts';
import { isUp, openRedisStore } from '../support/redis-store.ts';
import { describeReal } from '../support/require-real.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { info, plain } from './store.ts';

/** CHAOS_SECONDS=3600 for the long run. */
const SECONDS = Number(process.env.CHAOS_SECONDS ?? 12);
const SEED = Number(process.env.CHAOS_SEED ?? 20_260_101);
const NODES = ['n1', 'n2', 'n3', 'n4'];
const MODELS = ['a:latest', 'b:latest'];
const MOST_AT_ONCE = 60;

interface Replica {
  readonly name: string;
  readonly ledger: LeaseLedger;
  readonly store: Store;
  readonly proxy: FaultProxy;
  readonly ended: Promise<void>;
}

describeReal(redisServer, 'three replicas on a Redis that is ill-treated', (program) => {
  const clock = new SystemClock();
  const stop = new AbortController();
  let redis: RealRedis;
  let replicas: Replica[];
  beforeEach(async () => {
    redis = await startRedis(program);
    replicas = [];
    for (const name of ['a', 'b', 'c']) {
      const proxy = await startFaultProxy(`http://${redis.address}`);
      const { store } = openRedisStore({ url: `redis://${proxy.address}`, commandTimeout: 200 });
      const ledger = new LeaseLedger();
      const shared = new SharedLeases({
        store,
        replica: name,
        ledger,
        clock,
        info: () => info(name, { inflight: ledger.size }),
        onReplicas: () => {},
      });
      replicas.push({ name, ledger, store, proxy, ended: shared.run(stop.signal) });
    }
    await Promise.all(replicas.map(({ store }) => isUp(store)));
  });
  afterEach(async () => {
    stop.abort();
    await Promise.all(replicas.map(({ ended }) => ended));
    await Promise.all(replicas.map(({ store }) => store.close()));
    await Promise.all(replicas.map(({ proxy }) => proxy.close()));
    await redis.stop();
  });

  it(
    `agree on every count within five seconds after ${SECONDS} s of it, and end at zero (G12, F48)`,
    async () => {
      const random = seeded(SEED);
      const end = clock.now() + SECONDS * 1_000;
      const faults: Record<string, number> = {};
      const chaos = (async () => {
        while (clock.now() < end) {
          const name = await harm(redis, replicas, random);
          faults[name] = (faults[name] ?? 0) + 1;
          await pause(200 + random() * 800);
        }
      })();
      let requests = 0;
      while (clock.now() < end) {
        for (const replica of replicas) requests += live(replica, random);
        for (const { ledger } of replicas)
          for (const node of NODES) expect(ledger.onNode(node)).toBeGreaterThanOrEqual(0);
        await pause(5);
      }
      await chaos;
      expect(Object.keys(faults).length).toBeGreaterThan(2);
      expect(requests).toBeGreaterThan(SECONDS * 20);

      await Promise.all(replicas.map(({ store }) => isUp(store)));
      await waitFor(
        'the same counts everywhere',
        () => {
          const truth = countsOf(replicas);
          return replicas.every(({ ledger }) => JSON.stringify(seenBy(ledger)) === JSON.stringify(truth));
        },
        { timeoutMs: 5_000 },
      );
      expect(Object.values(countsOf(replicas)).reduce((a, b) => a + b, 0)).toBeGreaterThan(0);

      for (const { ledger } of replicas) for (const { id } of ledger.held()) ledger.release(id);
      await waitFor(
        'zero everywhere',
        async () => {
          if (replicas.some(({ ledger }) => Object.values(seenBy(ledger)).some((running) => running !== 0)))
            return false;
          const [first] = replicas;
          return (
            first !== undefined &&
            JSON.stringify(plain(await first.store.inflightElsewhere('nobody'))) === '{}'
          );
        },
        { timeoutMs: 5_000 },
      );
    },
    SECONDS * 1_000 + 60_000,
  );
});

/** Does one thing to Redis, or to the way one replica has to it, and answers its name when it is over. */
async function harm(redis: RealRedis, replicas: readonly Replica[], random: () => number): Promise<string> {
  const proxy = replicas[Math.floor(random() * replicas.length)]?.proxy;
  if (proxy === undefined) throw new Error('no replica');
  const kind = ['kill', 'hang', 'wipe', 'cut', 'partition', 'slow'][Math.floor(random() * 6)] ?? 'wipe';
  if (kind === 'kill') {
    await redis.crash();
    await pause(random() * 500);
    await redis.start();
  } else if (kind === 'hang') {
    redis.kill('SIGSTOP');
    await pause(300 + random() * 1_500);
    redis.kill('SIGCONT');
  } else if (kind === 'wipe') {
    await redis.send('FLUSHALL');
  } else if (kind === 'cut') {
    proxy.cut();
  } else if (kind === 'partition') {
    proxy.refuse();
    await pause(500 + random() * 3_500);
    await proxy.open();
  } else {
    proxy.fault = { latencyMs: 250 };
    await pause(1_000);
    proxy.fault = {};
  }
  return kind;
}

/** Takes, moves and releases as requests do; answers how many began. */
function live({ name, ledger }: Replica, random: () => number): number {
  const any = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  const held = ledger.held();
  const old = any(held);
  if (old !== undefined && (held.length >= MOST_AT_ONCE || random() < 0.45)) {
    ledger.release(old.id);
    return 0;
  }
  if (old !== undefined && random() < 0.1) {
    ledger.move(old.id, any(NODES) ?? 'n1');
    return 0;
  }
  ledger.take(`${name}-${performance.now()}-${random()}`, any(NODES) ?? 'n1', any(MODELS) ?? '', 0);
  return 1;
}

function countsOf(replicas: readonly Replica[]): Record<string, number> {
  return perPair((node, model) =>
    replicas.reduce((sum, { ledger }) => sum + (ledger.counts().get(node)?.get(model) ?? 0), 0),
  );
}

function seenBy(ledger: LeaseLedger): Record<string, number> {
  return perPair((node, model) => ledger.onModel(node, model));
}

function perPair(count: (node: string, model: string) => number): Record<string, number> {
  return Object.fromEntries(
    NODES.flatMap((node) => MODELS.map((model) => [`${node} ${model}`, count(node, model)])),
  );
}

/** Mulberry32: the same history for the same seed, as far as real time allows. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
