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

it('tells of a model that nobody has who lacks it, and who was never asked', () => {
  const unseen = node('unseen5', { status: 'down', models: [], tagsAt: undefined });
  const asked = request({ model: { raw: 'absent', key: 'absent:latest' } });
  const none = { nodes: [], rejected: [] };
  expect(rejections(asked, snapshot(warmNode('has1'), unseen), running(), none, 10, NOW)).toEqual([
    { id: 'unseen5', reason: 'down' },
    { id: 'has1', reason: 'model_unknown' },
  ]);
});

it('tells of no more nodes than asked for', () => {
  expect(rejections(request(), fleet, running(), ranking, 2, NOW).map(({ id }) => id)).toEqual([
    'beyond3',
    'down4',
  ]);
});
