import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import { buildSnapshot } from '../../../src/fleet/snapshot.ts';
import type { FleetSnapshot, NodeRecord } from '../../../src/fleet/types.ts';
import { GIB, NodeLife, onDisk, resident } from './builders.ts';

function snapshotOf(records: NodeRecord[], now = 0, previous?: FleetSnapshot): FleetSnapshot {
  return buildSnapshot(records, 1, now, DEFAULT_HEALTH, previous);
}

function viewOf(node: NodeLife) {
  const view = snapshotOf([node.record], node.now).nodes[0];
  if (view === undefined) throw new Error('no view');
  return view;
}

describe('a view', () => {
  it('has a copy of a loaded model as warm as the model', () => {
    const node = new NodeLife()
      .polled(resident('a', { digest: 'd', vramBytes: GIB }))
      .tagged(onDisk('a', { digest: 'd' }), onDisk('alias', { digest: 'd' }), onDisk('b'));
    const view = viewOf(node);
    expect([...view.warm.keys()]).toEqual(['a', 'alias']);
    expect(view.warm.get('alias')?.key).toBe('a');
    expect(view.vramUsedBytes).toBe(GIB);
  });

  it('takes no two models for copies because both lack a digest', () => {
    const node = new NodeLife()
      .polled(resident('a', { digest: '' }))
      .tagged(onDisk('a', { digest: '' }), onDisk('b', { digest: '' }));
    expect([...viewOf(node).warm.keys()]).toEqual(['a']);
  });

  it('prefers configured slots to learnt ones', () => {
    expect(viewOf(new NodeLife({ slots: 6 }).served({ concurrency: 2 })).slots).toBe(6);
    expect(viewOf(new NodeLife().served({ concurrency: 2 })).slots).toBe(2);
  });

  it('is draining when its owner says so, whatever its health', () => {
    expect(viewOf(new NodeLife({ drain: true }).polled()).status).toBe('draining');
  });
});

describe('a rebuild', () => {
  it('takes over the views of nodes that have not changed', () => {
    const a = new NodeLife().polled(resident('a')).tagged(onDisk('a'));
    const b = new NodeLife({ id: 'n2' }).polled().tagged(onDisk('a'));
    const before = snapshotOf([a.record, b.record], 10);
    b.wait(20).polled();
    const after = snapshotOf([a.record, b.record], 20, before);
    expect(after.nodes[0]).toBe(before.nodes[0]);
    expect(after.nodes[1]).not.toBe(before.nodes[1]);
    expect(after.byModel.get('a')?.[1]).toBe(after.nodes[1]);
  });

  it('sees that a copy of a loaded model was made, though the memory stayed as it was', () => {
    const node = new NodeLife().polled(resident('a', { digest: 'd' })).tagged(onDisk('a', { digest: 'd' }));
    expect(viewOf(node).warm.has('alias')).toBe(false);
    node.tagged(onDisk('a', { digest: 'd' }), onDisk('alias', { digest: 'd' }));
    expect(viewOf(node).warm.has('alias')).toBe(true);
  });

  it('shows what time alone changes: slow start and fading failures', () => {
    const node = new NodeLife().polled().failed().failed().goodFor(3_000).failed('server_error');
    const first = viewOf(node);
    node.wait(10_000);
    const second = viewOf(node);
    expect(second.admission).toBeGreaterThan(first.admission);
    expect(second.failureRate).toBeLessThan(first.failureRate);
  });

  it('finds a node by its memory only as long as it has shown no tag list', () => {
    const node = new NodeLife().polled(resident('deleted'));
    const before = snapshotOf([node.record]);
    expect(before.byModel.has('deleted')).toBe(true);
    node.tagged(onDisk('a'));
    const after = snapshotOf([node.record], 0, before);
    expect([...after.byModel.keys()]).toEqual(['a']);
  });

  it('answers the same as building from nothing', () => {
    const models = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 4 });
    const change = fc.record({
      node: fc.nat(2),
      tags: fc.option(models, { nil: undefined }),
      memory: fc.option(models, { nil: undefined }),
      leaves: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
        const lives = [0, 1, 2].map((i) => new NodeLife({ id: `n${i}` }));
        let previous: FleetSnapshot | undefined;
        for (const { node, tags, memory, leaves } of changes) {
          const life = lives[node];
          if (tags !== undefined) life?.tagged(...tags.map((key) => onDisk(key)));
          if (memory !== undefined) life?.polled(...memory.map((key) => resident(key)));
          const records = lives.filter((_, i) => !(leaves && i === node)).map(({ record }) => record);
          const reused = snapshotOf(records, 0, previous);
          const fresh = snapshotOf(records, 0);
          const plain = (s: FleetSnapshot) =>
            [...s.byModel].map(([key, nodes]) => [key, nodes.map(({ id }) => id)]);
          expect(new Map(plain(reused) as [string, string[]][])).toEqual(
            new Map(plain(fresh) as [string, string[]][]),
          );
          for (const key of ['a', 'b', 'c', 'd']) {
            const want = records.filter((r) =>
              r.seenAt.tags === undefined ? r.resident.has(key) : r.models.has(key),
            );
            expect((reused.byModel.get(key) ?? []).map(({ id }) => id)).toEqual(
              want.map(({ spec }) => spec.id),
            );
          }
          previous = reused;
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('the index by model', () => {
  it('is a whole read-only map', () => {
    const node = new NodeLife().tagged(onDisk('a'), onDisk('b'));
    const { byModel } = snapshotOf([node.record]);
    const visited: string[] = [];
    byModel.forEach((nodes, key, map) => {
      visited.push(`${key}:${nodes.length}:${map === byModel}`);
    });
    expect(visited).toEqual(['a:1:true', 'b:1:true']);
    expect(byModel.size).toBe(2);
    expect([...byModel.values()].flat().map(({ id }) => id)).toEqual(['n1', 'n1']);
    expect(byModel.get('c')).toBeUndefined();
    expect(byModel.get('a')).toBe(byModel.get('a'));
  });
});
