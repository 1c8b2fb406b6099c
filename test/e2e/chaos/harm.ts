import type { FaultProxy } from '../../support/fault-proxy.ts';
import type { RealRedis } from '../../support/redis.ts';
import type { Replicas } from '../../support/replicas.ts';
import { pause } from '../../support/wait-for.ts';

export interface Victims {
  readonly redis: RealRedis;
  readonly set: Replicas;
  /** The way that each replica has to Redis. */
  readonly ways: readonly FaultProxy[];
}

type Harm = (victims: Victims, replica: number, random: () => number) => Promise<void>;

/** Each resolves when what it did is undone. */
export const HARMS: Readonly<Record<string, Harm>> = {
  redisKilled: async ({ redis }, _replica, random) => {
    await redis.crash();
    await pause(random() * 1_500);
    await redis.start();
  },
  redisStopped: async ({ redis }, _replica, random) => {
    redis.kill('SIGSTOP');
    await pause(300 + random() * 2_000);
    redis.kill('SIGCONT');
  },
  redisWiped: async ({ redis }) => {
    await redis.send('FLUSHALL');
  },
  connectionCut: async ({ ways }, replica) => {
    ways[replica]?.cut();
  },
  replicaPartitioned: async ({ ways }, replica, random) => {
    ways[replica]?.refuse();
    await pause(500 + random() * 4_000);
    await ways[replica]?.open();
  },
  replicaKilled: async ({ set }, replica, random) => {
    set.replica(replica).kill('SIGKILL');
    await set.replica(replica).process.exited;
    await pause(random() * 2_000);
    await set.replica(replica).start();
    await set.replica(replica).waitUntilReady();
  },
  replicaStopped: async ({ set }, replica, random) => {
    set.replica(replica).kill('SIGSTOP');
    await pause(200 + random() * 2_000);
    set.replica(replica).kill('SIGCONT');
  },
  replicaRestarted: async ({ set }, replica) => {
    await set.replica(replica).stop();
    await set.replica(replica).start();
    await set.replica(replica).waitUntilReady();
  },
};

/** One harm after the other for so long, in an order that goes through all of them; answers how often each was done. */
export async function chaos(
  victims: Victims,
  ms: number,
  random: () => number,
): Promise<Readonly<Record<string, number>>> {
  const until = performance.now() + ms;
  const done: Record<string, number> = {};
  let left: string[] = [];
  while (performance.now() < until) {
    if (left.length === 0) left = shuffled(Object.keys(HARMS), random);
    const name = left.pop() ?? '';
    await HARMS[name]?.(victims, Math.floor(random() * victims.set.replicas.length), random);
    done[name] = (done[name] ?? 0) + 1;
    await pause(200 + random() * 800);
  }
  return done;
}

function shuffled(names: readonly string[], random: () => number): string[] {
  return names
    .map((name) => ({ name, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ name }) => name);
}
