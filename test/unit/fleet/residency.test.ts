import { describe, expect, it } from 'vitest';
import { GIB, NodeLife, onDisk, resident } from './builders.ts';

describe('inventory', () => {
  it('replaces what was known, and says when', () => {
    const node = new NodeLife().wait(5).polled(resident('a')).tagged(onDisk('a'), onDisk('b'));
    expect([...node.record.resident.keys()]).toEqual(['a']);
    expect([...node.record.models.keys()]).toEqual(['a', 'b']);
    node.wait(7).polled(resident('b'));
    expect([...node.record.resident.keys()]).toEqual(['b']);
    expect(node.record.seenAt).toEqual({ resident: 12, tags: 5 });
  });

  it('keeps its identity where a poll brings nothing new', () => {
    const node = new NodeLife().polled(resident('a')).tagged(onDisk('a'));
    const { resident: memory, models } = node.record;
    node.wait(1_000).polled(resident('a')).tagged(onDisk('a'));
    expect(node.record.resident).toBe(memory);
    expect(node.record.models).toBe(models);
    node.polled(resident('a', { expiresAt: '2026-09-01T11:00:00Z' })).tagged(onDisk('a', { digest: 'new' }));
    expect(node.record.resident).not.toBe(memory);
    expect(node.record.models).not.toBe(models);
  });

  it('F59: forgets a model that the node denies, until its next tag list', () => {
    const node = new NodeLife().polled(resident('a')).tagged(onDisk('a'), onDisk('b'));
    node.failed('model_missing', 'a');
    expect([...node.record.models.keys()]).toEqual(['b']);
    expect(node.record.resident.size).toBe(0);
    expect(node.tagged(onDisk('a'), onDisk('b')).record.models.has('a')).toBe(true);
  });

  it('remembers the most VRAM ever seen in use', () => {
    const node = new NodeLife()
      .polled(resident('a', { vramBytes: 6 * GIB }), resident('b', { vramBytes: 2 * GIB }))
      .polled(resident('a', { vramBytes: 1 * GIB }));
    expect(node.record.learnt.maxVramSeenBytes).toBe(8 * GIB);
  });

  it('smooths the round trip', () => {
    const node = new NodeLife().see({ kind: 'resident', models: [], rttMs: 10 });
    expect(node.record.rttMs).toBe(10);
    expect(node.see({ kind: 'resident', models: [], rttMs: 20 }).record.rttMs).toBeCloseTo(13);
  });
});

describe('a served request', () => {
  it('shows that its model is loaded before the next poll does', () => {
    const node = new NodeLife().polled().tagged(onDisk('a', { sizeBytes: GIB }));
    node.served({ wasWarm: false, loadMs: 900 }, 'a');
    expect(node.record.resident.get('a')).toMatchObject({ sizeBytes: GIB, contextLength: undefined });
    expect(node.polled().record.resident.size).toBe(0);
  });

  it('shows nothing where it needed no model, or one that is not in the tag list', () => {
    const told = { loadMs: undefined, promptTokens: undefined, completionTokens: undefined };
    const node = new NodeLife().polled().tagged(onDisk('a'));
    expect(node.served({ wasWarm: false, ...told }, 'a').record.resident.size).toBe(0);
    expect(node.served({}, 'x').record.resident.size).toBe(0);
  });

  it('does not list a copy of a loaded model twice', () => {
    const node = new NodeLife()
      .polled(resident('a', { digest: 'd' }))
      .tagged(onDisk('a', { digest: 'd' }), onDisk('alias', { digest: 'd' }));
    expect([...node.served({}, 'alias').record.resident.keys()]).toEqual(['a']);
  });
});

describe('an observation that says what is known', () => {
  it('answers the same record', () => {
    const node = new NodeLife();
    const before = node.record;
    node.see({ kind: 'address', address: '10.0.0.1:11434', hosts: [] });
    expect(node.record).toBe(before);
    expect(node.failed('model_missing', 'never heard of').record).toBe(before);
  });
});

describe('what a model can do', () => {
  const seen = () =>
    new NodeLife().tagged(onDisk('a'), onDisk('copy', { digest: 'digest of a' }), onDisk('b'));
  const told = {
    kind: 'capabilities',
    digest: 'digest of a',
    capabilities: ['tools'],
    trainedContext: 8_192,
  } as const;

  it('is known of every name with its digest, and stays known over tag lists', () => {
    const node = seen()
      .see(told)
      .tagged(onDisk('a'), onDisk('new', { digest: 'digest of a' }), onDisk('b'));
    expect(node.record.models.get('a')).toMatchObject({ capabilities: ['tools'], trainedContext: 8_192 });
    expect(node.record.models.get('new')?.capabilities).toEqual(['tools']);
    expect(node.record.models.get('b')?.capabilities).toBeUndefined();
  });

  it('is asked anew of a model that was replaced under its name', () => {
    const node = seen()
      .see(told)
      .tagged(onDisk('a', { digest: 'another' }));
    expect(node.record.models.get('a')?.capabilities).toBeUndefined();
  });

  it('changes nothing when it is told again, or of nobody', () => {
    const node = seen().see(told);
    const before = node.record;
    expect(node.see(told).record).toBe(before);
    expect(node.see({ ...told, digest: 'nobody' }).record).toBe(before);
  });
});
