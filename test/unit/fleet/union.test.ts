import { describe, expect, it } from 'vitest';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import { buildSnapshot } from '../../../src/fleet/snapshot.ts';
import type { FleetSnapshot } from '../../../src/fleet/types.ts';
import { unionModels, unionPs, unionTags, unionVersion } from '../../../src/fleet/union.ts';
import { DETAILS, GIB, NodeLife, onDisk, resident } from './builders.ts';

function fleet(...nodes: NodeLife[]): FleetSnapshot {
  return buildSnapshot(
    nodes.map(({ record }) => record),
    1,
    0,
    DEFAULT_HEALTH,
  );
}

const names = (snapshot: FleetSnapshot): string[] => unionTags(snapshot).models.map(({ name }) => name);
const down = (node: NodeLife): NodeLife => node.failed().failed();

describe('/api/tags', () => {
  it('has the keys of Ollama in its order', () => {
    const snapshot = fleet(new NodeLife().polled().tagged(onDisk('alpha:latest')));
    expect(JSON.stringify(unionTags(snapshot))).toBe(
      JSON.stringify({
        models: [
          {
            name: 'alpha:latest',
            model: 'alpha:latest',
            modified_at: '2026-09-01T10:00:00Z',
            size: 5 * GIB,
            digest: 'digest of alpha:latest',
            details: DETAILS,
          },
        ],
      }),
    );
  });

  it('lists a model of several nodes once, as its newest copy, newest models first', () => {
    const snapshot = fleet(
      new NodeLife({ id: 'n1' })
        .polled()
        .tagged(
          onDisk('a', { modifiedAt: '2026-09-01T10:00:00Z', digest: 'old' }),
          onDisk('b', { modifiedAt: '2026-09-02T10:00:00Z' }),
        ),
      new NodeLife({ id: 'n2' })
        .polled()
        .tagged(onDisk('a', { modifiedAt: '2026-09-03T10:00:00+02:00', digest: 'new' })),
    );
    expect(unionTags(snapshot).models.map(({ name, digest }) => [name, digest])).toEqual([
      ['a', 'new'],
      ['b', 'digest of b'],
    ]);
  });

  it('does not depend on the order of nodes', () => {
    const a = new NodeLife({ id: 'n1' }).polled().tagged(onDisk('a', { digest: '1' }), onDisk('b'));
    const b = new NodeLife({ id: 'n2' }).polled().tagged(onDisk('a', { digest: '2' }), onDisk('c'));
    expect(unionTags(fleet(a, b))).toEqual(unionTags(fleet(b, a)));
  });

  it('leaves out nodes that are down, unless all are', () => {
    const up = new NodeLife({ id: 'n1' }).polled().tagged(onDisk('a'));
    const dead = down(new NodeLife({ id: 'n2' }).polled().tagged(onDisk('b')));
    expect(names(fleet(up, dead))).toEqual(['a']);
    expect(names(fleet(down(up), dead))).toEqual(['a', 'b']);
    const starting = new NodeLife({ id: 'n3' });
    expect(names(fleet(starting, dead))).toEqual(['b']);
    expect(unionTags(fleet())).toEqual({ models: [] });
  });
});

describe('/api/ps', () => {
  it('has the keys of Ollama in its order and no trace of the node', () => {
    const node = new NodeLife({ id: 'secret-node' })
      .polled(resident('alpha:latest'))
      .tagged(onDisk('alpha:latest'));
    const text = JSON.stringify(unionPs(fleet(node)));
    expect(text).toBe(
      JSON.stringify({
        models: [
          {
            name: 'alpha:latest',
            model: 'alpha:latest',
            size: 6 * GIB,
            digest: 'digest of alpha:latest',
            details: DETAILS,
            expires_at: '2026-09-01T10:05:00Z',
            size_vram: 6 * GIB,
            context_length: 4096,
          },
        ],
      }),
    );
    expect(text).not.toMatch(/secret-node|10\.0\.0\.1/);
  });

  it('shows each model where it has the most VRAM, the last to expire first', () => {
    const one = new NodeLife({ id: 'n1' }).polled(
      resident('a', { vramBytes: GIB, expiresAt: '2026-09-01T12:00:00Z' }),
      resident('b', { expiresAt: '2319-01-01T00:00:00Z' }),
    );
    const two = new NodeLife({ id: 'n2' }).polled(
      resident('a', { vramBytes: 6 * GIB, expiresAt: '2026-09-01T11:00:00Z' }),
    );
    const { models } = unionPs(fleet(one, two));
    expect(models.map(({ name, size_vram }) => [name, size_vram])).toEqual([
      ['b', 6 * GIB],
      ['a', 6 * GIB],
    ]);
  });

  it('lists a loaded model once, not once for each of its copies', () => {
    const node = new NodeLife()
      .polled(resident('a', { digest: 'd' }))
      .tagged(onDisk('a', { digest: 'd' }), onDisk('alias', { digest: 'd' }));
    expect(unionPs(fleet(node)).models.map(({ name }) => name)).toEqual(['a']);
  });

  it('waits for the poll where live traffic alone showed that a model is loaded', () => {
    const node = new NodeLife().polled().tagged(onDisk('a')).served({ wasWarm: false }, 'a');
    expect(unionPs(fleet(node)).models).toEqual([]);
  });

  it('leaves the context out where a node does not say', () => {
    const node = new NodeLife().polled(resident('a', { contextLength: undefined }));
    expect(Object.keys(unionPs(fleet(node)).models[0] ?? {})).not.toContain('context_length');
  });
});

describe('/v1/models', () => {
  const node = new NodeLife()
    .polled()
    .tagged(
      onDisk('alpha:latest', { modifiedAt: '2026-11-21T08:32:00.625Z' }),
      onDisk('me/beta:1b', { modifiedAt: '2026-11-20T08:32:00Z' }),
      onDisk('hf.co/me/gamma:q4', { modifiedAt: '2026-11-19T08:32:00Z' }),
    );

  it('is a list in the shape of OpenAI', () => {
    expect(unionModels(fleet(node))).toEqual({
      object: 'list',
      data: [
        { id: 'alpha:latest', object: 'model', created: 1795249920, owned_by: 'library' },
        { id: 'me/beta:1b', object: 'model', created: 1795163520, owned_by: 'me' },
        { id: 'hf.co/me/gamma:q4', object: 'model', created: 1795077120, owned_by: 'me' },
      ],
    });
  });
});

describe('/api/version', () => {
  const at = (version: string, id: string): NodeLife =>
    new NodeLife({ id }).polled().tagged().see({ kind: 'version', version });

  it.each([
    { versions: ['0.34.0', '0.9.1', '0.24.0'], want: '0.9.1' },
    { versions: ['0.35.0', '0.35.0-rc1'], want: '0.35.0-rc1' },
    { versions: ['0.35.0-rc2', '0.35.0-rc1'], want: '0.35.0-rc1' },
    { versions: ['1.0', '1.0.1'], want: '1.0' },
    { versions: [], want: undefined },
  ])('is the lowest of $versions', ({ versions, want }) => {
    expect(unionVersion(fleet(...versions.map((version, i) => at(version, `n${i}`))))).toBe(want);
  });

  it('leaves out nodes that are down', () => {
    expect(unionVersion(fleet(at('0.34.0', 'n1'), down(at('0.1.0', 'n2'))))).toBe('0.34.0');
  });
});
