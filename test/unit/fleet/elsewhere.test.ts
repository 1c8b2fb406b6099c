import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Elsewhere, type PairCount } from '../../../src/fleet/elsewhere.ts';

const NODES = ['n1', 'n2'];
const MODELS = ['a', 'b'];
const REPLICAS = ['x', 'y'];

describe('what runs elsewhere', () => {
  it('is the sum of what each replica told last, through any sequence of news', () => {
    const pair = fc.tuple(
      fc.constantFrom(...NODES),
      fc.constantFrom(...MODELS),
      fc.integer({ min: 0, max: 5 }),
    );
    const news = fc.record({
      kind: fc.constantFrom('set', 'replace', 'drop'),
      replica: fc.constantFrom(...REPLICAS),
      pairs: fc.array(pair, { maxLength: 4 }),
    });
    fc.assert(
      fc.property(fc.array(news, { maxLength: 30 }), (list) => {
        const real = new Elsewhere();
        const truth = new Map<string, Map<string, number>>();
        for (const { kind, replica, pairs } of list) {
          const known = kind === 'set' ? (truth.get(replica) ?? new Map()) : new Map<string, number>();
          if (kind !== 'drop')
            for (const [node, model, running] of pairs) known.set(`${node} ${model}`, running);
          truth.set(replica, known);
          if (kind === 'set') real.set(replica, pairs);
          else if (kind === 'replace') real.replace(replica, countsOf(pairs));
          else real.drop(replica);
          for (const node of NODES) {
            let onNode = 0;
            for (const model of MODELS) {
              const want = [...truth.values()].reduce(
                (sum, each) => sum + (each.get(`${node} ${model}`) ?? 0),
                0,
              );
              expect(real.onModel(node, model)).toBe(want);
              onNode += want;
            }
            expect(real.onNode(node)).toBe(onNode);
          }
        }
      }),
    );
  });

  it('believes no negative or senseless count', () => {
    const real = new Elsewhere();
    real.set('x', [
      ['n1', 'a', -5],
      ['n1', 'b', Number.NaN],
      ['n1', 'c', Number.POSITIVE_INFINITY],
    ]);
    expect([real.onNode('n1'), real.onModel('n1', 'a'), real.onModel('n1', 'b')]).toEqual([0, 0, 0]);
  });

  it('keeps what was told while the whole was being read', () => {
    const real = new Elsewhere();
    real.set('x', [['n1', 'a', 3]]);
    real.replace(
      'x',
      countsOf([
        ['n1', 'a', 1],
        ['n2', 'a', 1],
      ]),
      (node) => node === 'n1',
    );
    expect([real.onModel('n1', 'a'), real.onModel('n2', 'a')]).toEqual([3, 1]);
  });

  it('knows a replica until it is dropped', () => {
    const real = new Elsewhere();
    real.set('x', []);
    real.set('y', [['n1', 'a', 1]]);
    real.drop('y');
    expect(real.replicas).toEqual(['x']);
  });
});

function countsOf(pairs: readonly PairCount[]): Map<string, Map<string, number>> {
  const counts = new Map<string, Map<string, number>>();
  for (const [node, model, running] of pairs)
    counts.set(node, (counts.get(node) ?? new Map()).set(model, running));
  return counts;
}
