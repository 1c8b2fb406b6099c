import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NodeView } from '../../../src/fleet/types.ts';
import { entryOf, totalSeconds } from '../../../src/routing/cost.ts';
import { factsOf } from '../../../src/routing/facts.ts';
import { isLastResort, rejectReason } from '../../../src/routing/filters.ts';
import { DEFAULT_ROUTING as P } from '../../../src/routing/params.ts';
import { questionOf } from '../../../src/routing/question.ts';
import { rank } from '../../../src/routing/rank.ts';
import { visitSome } from '../../../src/routing/sample.ts';
import { NOTHING_SHOWN } from '../../../src/routing/service.ts';
import { isTrusted } from '../../../src/routing/terms/trust.ts';
import type { Inflight } from '../../../src/routing/types.ts';
import { MODEL, NOW, node, request, resident, running, situation, snapshot, warmNode } from './builders.ts';

const CAP = 20;
const SMALL = { ...P, maxWarmNodes: CAP, maxColdNodes: CAP, sampledNodes: CAP, maxRunningNodes: 1_000 };

/** Random numbers that repeat with their seed. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('a sample', () => {
  it('of a short list is the list, in its order', () => {
    const visited: number[] = [];
    visitSome(Uint32Array.of(3, 5, 9), 3, 1, seeded(1), (item) => visited.push(item) > 0);
    expect(visited).toEqual([3, 5, 9]);
  });

  it('of a long list names nobody twice, and as many as asked for', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3_000 }),
        fc.integer({ min: 1, max: 100 }),
        fc.nat(),
        (n, most, seed) => {
          const items = Uint32Array.from({ length: n }, (_, i) => i);
          const visited: number[] = [];
          visitSome(items, most, most, seeded(seed), (item) => visited.push(item) > 0);
          expect(new Set(visited).size).toBe(visited.length);
          expect(visited.length).toBe(Math.min(n, most));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('gives each item about the same chance', () => {
    const counts = new Array<number>(1_000).fill(0);
    const random = seeded(7);
    const items = Uint32Array.from(counts.keys());
    for (let round = 0; round < 2_000; round += 1)
      visitSome(items, 50, 50, random, (item) => {
        counts[item] = (counts[item] ?? 0) + 1;
        return true;
      });
    expect(Math.min(...counts)).toBeGreaterThan(60);
    expect(Math.max(...counts)).toBeLessThan(140);
  });
});

interface Kind {
  readonly warmth: 'warm' | 'cold' | 'loading';
  readonly status: NodeView['status'];
  readonly rttMs: number;
  readonly queue: number;
}

const kind: fc.Arbitrary<Kind> = fc.record({
  warmth: fc.constantFrom('warm' as const, 'cold' as const, 'cold' as const, 'loading' as const),
  status: fc.constantFrom('ready', 'ready', 'ready', 'suspect', 'down', 'draining'),
  rttMs: fc.integer({ min: 0, max: 400 }),
  queue: fc.nat(3),
});

function fleetOf(kinds: readonly Kind[]) {
  const counts: Record<string, Record<string, number>> = {};
  const nodes = kinds.map(({ warmth, status, rttMs, queue }, i) => {
    const id = `n${i}`;
    if (warmth === 'loading') counts[id] = { [MODEL]: 1 + queue };
    if (warmth === 'warm' && queue > 0) counts[id] = { [MODEL]: queue };
    return warmth === 'warm' ? warmNode(id, { status, rttMs }) : node(id, { status, rttMs });
  });
  return { nodes, inflight: running(counts) };
}

const secondsOf = (nodes: NodeView[], inflight: Inflight, params: typeof P, seed: number) => {
  try {
    const given = situation(snapshot(...nodes), { inflight, params, random: seeded(seed) });
    return rank(request(), given).nodes.map(({ seconds }) => seconds);
  } catch {
    return undefined;
  }
};

/**
 * The whole ranking, written down as plainly as it can be: every node that may take the request, sorted by cost; two are
 * enough where nothing speaks against them.
 */
function plainRanking(nodes: NodeView[], inflight: Inflight): number[] | undefined {
  const reasons = new Map(nodes.map((n) => [n, rejectReason(request(), n, inflight, NOW)]));
  const fit = nodes.filter((n) => reasons.get(n) === undefined);
  const able = fit.length > 0 ? fit : nodes.filter((n) => isLastResort(reasons.get(n)));
  if (able.length === 0) return undefined;
  const loads = nodes.filter((n) => !n.warm.has(MODEL) && inflight.onModel(n.id, MODEL) > 0).length;
  const question = questionOf(request(), situation(snapshot(...nodes), { inflight }), loads);
  const costs = able
    .map((n) => entryOf(factsOf(question, n), question, NOTHING_SHOWN))
    .map((entry) => ({ seconds: totalSeconds(entry.terms, P), isSure: isTrusted(entry.facts, P, NOW) }))
    // Chance orders equal ones; with the sure ones in front this list is as short as any.
    .sort((a, b) => a.seconds - b.seconds || Number(b.isSure) - Number(a.isSure));
  const isEnough = costs.slice(0, 2).every((cost) => cost.isSure);
  return costs.slice(0, isEnough ? 2 : P.maxAttempts).map(({ seconds }) => seconds);
}

describe('F89: a decision that looks at some nodes only', () => {
  it('is the one that looks at all where few nodes have the model', () => {
    fc.assert(
      fc.property(fc.array(kind, { maxLength: CAP }), fc.nat(), (kinds, seed) => {
        const { nodes, inflight } = fleetOf(kinds);
        const all = plainRanking(nodes, inflight);
        const some = secondsOf(nodes, inflight, SMALL, seed);
        expect(some?.slice(0, all?.length)).toEqual(all);
        // Where the list could end after two, only a doubtful node of the same cost makes it go on.
        if (some?.length !== all?.length) expect(some?.[2]).toBe(some?.[1]);
      }),
      { numRuns: 1_000 },
    );
  });

  it('of many cold nodes misses neither those that are warm nor those that load', () => {
    fc.assert(
      fc.property(
        fc.array(kind, { maxLength: CAP }),
        fc.integer({ min: 30, max: 200 }),
        fc.nat(),
        (kinds, colds, seed) => {
          const cold: Kind = { warmth: 'cold', status: 'ready', rttMs: 5, queue: 0 };
          const { nodes, inflight } = fleetOf([...kinds, ...new Array<Kind>(colds).fill(cold)]);
          const all = plainRanking(nodes, inflight);
          const some = secondsOf(nodes, inflight, SMALL, seed);
          // Equal cold nodes are as good as each other: what a sample takes costs what the best of all costs.
          expect(some?.[0]).toBeLessThanOrEqual((all?.[0] ?? 0) + 1);
          const settled = (list: number[] | undefined) => list?.filter((seconds) => seconds < 10);
          expect(settled(some)).toEqual(settled(all));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('takes the one node that can serve among thousands that cannot', () => {
    const nodes = Array.from({ length: 3_000 }, (_, i) =>
      node(`n${i}`, { status: i === 1_234 ? 'ready' : 'down' }),
    );
    for (let seed = 0; seed < 5; seed += 1)
      expect(
        rank(request(), situation(snapshot(...nodes), { random: seeded(seed) })).nodes.map(({ id }) => id),
      ).toEqual(['n1234']);
  });

  it('of thousands of warm nodes takes one of the best few percent', () => {
    const nodes = Array.from({ length: 5_000 }, (_, i) =>
      node(`n${i}`, { warm: [resident(MODEL)], rttMs: (i * 37) % 5_000 }),
    );
    for (let seed = 0; seed < 20; seed += 1) {
      const [first] = rank(request(), situation(snapshot(...nodes), { random: seeded(seed) })).nodes;
      expect(first?.terms.roundTrip).toBeLessThan(0.3);
    }
  });
});
