/** What the choice of whom to give up needs to know of a connection. */
export interface Connection {
  /** Of the peer; all of a Unix socket share one. */
  readonly address: string;
  /** Whether the peer has spoken HTTP/2 yet. */
  isGreeted: boolean;
  /** Streams open now. */
  streams: number;
  /** When it was opened, or its last stream was; ms of any clock. */
  usedAt: number;
}

/**
 * Whom to give up where there are too many connections: who never spoke, who has no stream, who has the most connections, who has
 * the fewest streams, who was silent the longest, in this order. `kept` has just come: everybody would be given up at once else.
 */
export function leastUseful<C extends Connection>(connections: Iterable<C>, kept: C): C | undefined {
  const byAddress = new Map<string, number>();
  const all = [...connections];
  for (const { address } of all) byAddress.set(address, (byAddress.get(address) ?? 0) + 1);
  const many = (connection: C): number => byAddress.get(connection.address) ?? 0;
  let worst: C | undefined;
  for (const one of all) {
    if (one === kept) continue;
    if (worst === undefined || isWorse(one, worst, many)) worst = one;
  }
  return worst;
}

function isWorse<C extends Connection>(a: C, b: C, many: (connection: C) => number): boolean {
  if (a.isGreeted !== b.isGreeted) return !a.isGreeted;
  if (a.streams > 0 !== b.streams > 0) return a.streams === 0;
  if (many(a) !== many(b)) return many(a) > many(b);
  if (a.streams !== b.streams) return a.streams < b.streams;
  return a.usedAt < b.usedAt;
}
