import { describe, expect, it } from 'vitest';
import { factsOf } from '../../../src/routing/facts.ts';
import { furtherCopySeconds } from '../../../src/routing/further-copy.ts';
import { DEFAULT_ROUTING as P } from '../../../src/routing/params.ts';
import { questionOf } from '../../../src/routing/question.ts';
import { rank } from '../../../src/routing/rank.ts';
import { ending, MODEL, node, request, situation, snapshot, warmNode } from './builders.ts';

/** Worth of one more copy beside so many of one slot, with so many requests per second. */
function worth(copies: number, perSecond: number): number {
  const nodes = Array.from({ length: copies }, (_, i) => warmNode(`n${i}`));
  const question = questionOf(
    request(),
    situation(snapshot(...nodes), { demand: { perSecond: () => perSecond } }),
    0,
  );
  return furtherCopySeconds(
    nodes.map((one) => factsOf(question, one)),
    question,
  );
}

describe('what a further copy of a model is worth', () => {
  it('is nothing while nobody asks, and before there is a first', () => {
    expect(worth(1, 0)).toBe(0);
    expect(worth(0, 1)).toBe(0);
  });

  it('grows with the demand and falls with the copies that there are', () => {
    const byDemand = [0.01, 0.05, 0.1, 0.15].map((perSecond) => worth(1, perSecond));
    expect(byDemand).toEqual([...byDemand].sort((a, b) => a - b));
    const byCopies = [1, 2, 4, 8].map((copies) => worth(copies, 0.1));
    expect(byCopies).toEqual([...byCopies].sort((a, b) => b - a));
    expect(byDemand[0]).toBeLessThan(1);
    expect(byCopies[3]).toBeLessThan(0.1);
  });

  it('is finite however much is asked for', () => {
    for (const perSecond of [1, 1e9]) expect(Number.isFinite(worth(1, perSecond))).toBe(true);
  });

  it('makes a second node load a model that is asked for all the time, rather than wait for the first', () => {
    const fleet = snapshot(warmNode('n1'), node('n2'));
    const inflight = ending({ n1: { [MODEL]: [6] } });
    const first = (perSecond: number) =>
      rank(request(), situation(fleet, { inflight, demand: { perSecond: () => perSecond } })).nodes[0]?.id;
    expect(first(0)).toBe('n1');
    expect(first(0.3)).toBe('n2');
  });

  it('never makes a load free', () => {
    const fleet = snapshot(warmNode('n1'), node('n2'));
    const busy = { demand: { perSecond: () => 1_000 } };
    const { nodes } = rank(request(), situation(fleet, busy));
    expect(nodes[0]?.id).toBe('n1');
    const cold = nodes[1];
    expect(cold?.seconds).toBeGreaterThanOrEqual(P.leastLoadShare * (cold?.terms.load ?? 0));
  });
});
