import { expect, it } from 'vitest';
import { Decision } from '../../../src/app/decision-log.ts';
import { promptWatcher } from '../../../src/app/prompt-watcher.ts';
import { rank } from '../../../src/routing/rank.ts';
import { MODEL, node, request, situation, snapshot, warmNode } from '../routing/builders.ts';

const asked = request({ prefixes: [{ hash: 7, bytes: 100 }] });

function noted(...nodes: ReturnType<typeof node>[]): unknown[] {
  const told: unknown[] = [];
  const watcher = promptWatcher({ note: (...args) => told.push(args) });
  watcher.placed?.(
    new Decision({
      id: 'd',
      at: new Date(0),
      request: asked,
      ranking: rank(asked, situation(snapshot(...nodes))),
      snapshotVersion: 1,
    }),
  );
  return told;
}

it('tells of a prompt as soon as its node begins to read it: what that slot held is gone', () => {
  expect(noted(warmNode('n1'), node('n2'))).toEqual([['n1', MODEL, asked.prefixes]]);
});

it('tells nothing of a node that must load first: its cache is a new one', () => {
  expect(noted(node('n2'))).toEqual([]);
});
