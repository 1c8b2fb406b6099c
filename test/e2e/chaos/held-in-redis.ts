import type { RealRedis } from '../../support/redis.ts';

/** Leases and counts that Redis holds, of whichever replica: name of the key and how many. Rejects where Redis is away. */
export async function heldInRedis(redis: RealRedis): Promise<Record<string, number>> {
  const held: Record<string, number> = {};
  for (const kind of ['leases', 'counts']) {
    const reply = await redis.send('KEYS', `warmpath:*:${kind}`);
    for (const [key] of reply.matchAll(/^warmpath:.*$/gm)) {
      const length = Number(/^:(\d+)/.exec(await redis.send('HLEN', key))?.[1] ?? 0);
      if (length > 0) held[key] = length;
    }
  }
  return held;
}
