import type { Lookup } from './resolver.ts';

/**
 * Lets at most `limit` lookups run at once. The machine's resolver blocks a thread of a small pool, which file
 * access shares: a name service that hangs must not take them all.
 */
export function limitLookups(lookup: Lookup, limit: number): Lookup {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (host) => {
    if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await lookup(host);
    } finally {
      // The place passes to the next in line without being counted down.
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}
