import { type SimulatedFleet, startFleet } from '../../sim/fleet.ts';
import { quantile } from '../../support/figures.ts';
import { type RealRedis, redisServer, startRedis } from '../../support/redis.ts';
import { type Replicas, type ReplicasOptions, startReplicas } from '../../support/replicas.ts';
import { BRISK, GENERATE, MODEL, QUICK } from '../faults/arena.ts';
import { failures, generateBody, Load, type Sample } from '../faults/load.ts';

export interface Setup {
  readonly fleet: SimulatedFleet;
  readonly redis: RealRedis;
  readonly set: Replicas;
}

const cleanups: (() => Promise<unknown>)[] = [];

/** For afterEach. */
export async function closeSetups(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}

/** Two control planes (unless said otherwise) before four nodes, with a Redis of their own. */
export async function setUp({
  isRedisUp = true,
  slots = 64,
  ...options
}: Partial<ReplicasOptions> & {
  readonly isRedisUp?: boolean;
  readonly slots?: number;
} = {}): Promise<Setup> {
  const fleet = await startFleet(4, { ...QUICK, slots });
  cleanups.push(() => fleet.close());
  await Promise.all(fleet.nodes.map((node) => node.load(MODEL)));
  const redis = await startRedis(redisServer.path ?? '');
  cleanups.push(() => redis.stop());
  if (!isRedisUp) await redis.crash();
  const set = await startReplicas({
    nodes: fleet.specs.map((spec) => ({ ...spec, slots })),
    redis: redis.url,
    config: BRISK,
    ...options,
  });
  cleanups.push(() => set.close());
  return { fleet, redis, set };
}

/** A steady load through one Envoy; each request runs for about `tokens` / 400 s. */
export function load(url: string, perSecond = 40, tokens = 40): Load {
  const body = generateBody(MODEL, 1_024, { tokens });
  return new Load(url, { perSecond, path: GENERATE, body: () => body });
}

export function summary(samples: readonly Sample[]): Record<string, number> {
  const waits = samples.map((each) => each.answer?.firstByteMs ?? Number.POSITIVE_INFINITY);
  return {
    requests: samples.length,
    failed: failures(samples).length,
    unrouted: unrouted(samples).length,
    firstByteP50Ms: quantile(waits, 0.5),
    firstByteP99Ms: quantile(waits, 0.99),
  };
}

/** When requests went unrouted, ms after the first was sent. */
export function unrouted(samples: readonly Sample[]): number[] {
  const from = samples[0]?.sentAt ?? 0;
  return samples.filter((each) => !each.routed).map(({ sentAt }) => Math.round(sentAt - from));
}
