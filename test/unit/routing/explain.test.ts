import { describe, expect, it } from 'vitest';
import { explain } from '../../../src/routing/explain.ts';
import { DEFAULT_ROUTING as P } from '../../../src/routing/params.ts';
import { rank } from '../../../src/routing/rank.ts';
import { MODEL, NOW, noChance, node, onDisk, request, running, snapshot, warmNode } from './builders.ts';

const fleet = snapshot(
  node('n1', { models: [onDisk('another')] }),
  warmNode('n2', { status: 'down' }),
  node('n3'),
  warmNode('n4'),
  node('n5', { rttMs: 500 }),
  node('n6', { rttMs: 900 }),
);

describe('an explanation', () => {
  it('holds the very ranking that a request gets', () => {
    const told = explain(request(), fleet, running(), P, noChance, NOW);
    expect(told.ranking).toEqual(rank(request(), fleet, running(), P, noChance, NOW));
    expect(told.perTryTimeoutMs).toBeGreaterThan(0);
    expect(told.refusal).toBeUndefined();
  });

  it('tells of every node: ranked ones in their order, then those that know the model, then the others', () => {
    const { nodes } = explain(request(), fleet, running({ n4: { [MODEL]: 1 } }), P, noChance, NOW);
    expect(nodes.map(({ id, rank: at, rejected }) => [id, at, rejected])).toEqual([
      ['n4', 1, undefined],
      ['n3', 2, undefined],
      ['n5', 3, undefined],
      ['n6', undefined, 'list_full'],
      ['n2', undefined, 'down'],
      ['n1', undefined, 'model_unknown'],
    ]);
    expect(nodes[0]).toMatchObject({ state: 'warm', onModel: 1, onNode: 1, reason: 'warm_busy' });
  });

  it('says why there is no ranking', () => {
    const asked = request({ model: { raw: 'nope', key: 'nope:latest' } });
    const told = explain(asked, fleet, running(), P, noChance, NOW);
    expect(told.ranking).toBeUndefined();
    expect(told.refusal).toEqual({ code: 'model_not_found', message: "model 'nope' not found" });
    expect(told.nodes.map(({ rejected }) => rejected)).toEqual(Array(6).fill('model_unknown'));
  });

  it('names nodes that are asked though nobody knows what they have', () => {
    const unseen = snapshot(node('n1', { models: [], tagsAt: undefined, residentAt: undefined }));
    const told = explain(request(), unseen, running(), P, noChance, NOW);
    expect(told.nodes[0]).toMatchObject({ rank: 1, reason: 'last_resort', knowsModel: false });
  });
});
