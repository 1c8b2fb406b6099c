import { expect, it } from 'vitest';
import { rank } from '../../../src/routing/rank.ts';
import { rejections } from '../../../src/routing/rejections.ts';
import { NOW, node, onDisk, request, running, situation, snapshot, warmNode } from './builders.ts';

const fleet = snapshot(
  node('lacks1', { models: [onDisk('other:latest')] }),
  warmNode('first2'),
  node('beyond3'),
  node('down4', { status: 'down' }),
);
const ranking = {
  nodes: rank(request(), situation(snapshot(warmNode('first2')))).nodes,
  rejected: [],
};

it('tells of every node that was not chosen why, those that know the model first', () => {
  expect(rejections(request(), fleet, running(), ranking, 10, NOW)).toEqual([
    { id: 'beyond3', reason: 'list_full' },
    { id: 'down4', reason: 'down' },
    { id: 'lacks1', reason: 'model_unknown' },
  ]);
});

it('tells of no more nodes than asked for', () => {
  expect(rejections(request(), fleet, running(), ranking, 2, NOW).map(({ id }) => id)).toEqual([
    'beyond3',
    'down4',
  ]);
});
