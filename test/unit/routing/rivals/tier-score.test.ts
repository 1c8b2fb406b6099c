import { describe, expect, it } from 'vitest';
import type { NodeView } from '../../../../src/fleet/types.ts';
import { TierScore } from '../../../../src/routing/rivals/tier-score.ts';
import { GIB, node, onDisk, resident } from '../builders.ts';
import { asking, seen } from './builders.ts';

const disk = (key: string, gib: number) => ({ ...onDisk(key), sizeBytes: gib * GIB });
const memory = (key: string, gib: number) => ({
  ...resident(key),
  sizeBytes: gib * GIB,
  vramBytes: gib * GIB,
});
const models = [disk('warm', 10), disk('small', 8), disk('medium', 16), disk('large', 45)];
/** 48 GiB with `warm` (10) and `other` (24) in it: `small` fits beside, `medium` and `large` do not. */
const gpu = (id: string, fields: Parameters<typeof node>[1] = {}) =>
  node(id, { models, warm: [memory('warm', 10), memory('other', 24)], vramTotalBytes: 48 * GIB, ...fields });

interface Waits {
  readonly model: string;
  readonly waitedS?: number;
  readonly caller?: string;
}

function next(
  of: NodeView,
  line: readonly Waits[],
  others: readonly NodeView[] = [],
  rival = new TierScore(),
) {
  return rival.next(
    of,
    line.map(({ model }) => asking(model)),
    line.map(({ waitedS = 0 }) => waitedS * 1_000),
    seen([of, ...others]),
    line.map(({ caller }, i) => caller ?? `caller ${i}`),
  );
}

describe('tier-score', () => {
  it('serves loaded models first, then those that fit beside, then small and large swaps', () => {
    const line = [{ model: 'large' }, { model: 'medium' }, { model: 'small' }, { model: 'warm' }];
    expect(next(gpu('n1'), line)).toBe(3);
    expect(next(gpu('n1'), line.slice(0, 3))).toBe(2);
    expect(next(gpu('n1'), line.slice(0, 2))).toBe(1);
    expect(next(gpu('n1'), line.slice(0, 1))).toBe(0);
  });

  it.each([
    { waitedS: 199, want: 0 },
    { waitedS: 206, want: 1 },
  ])('takes a point for each of $waitedS seconds waited: 200 make up for a tier', ({ waitedS, want }) => {
    expect(next(gpu('n1'), [{ model: 'warm' }, { model: 'small', waitedS }])).toBe(want);
  });

  it('never goes below 0, and then takes the one that came first', () => {
    expect(
      next(gpu('n1'), [
        { model: 'warm', waitedS: 50 },
        { model: 'warm', waitedS: 900 },
      ]),
    ).toBe(0);
  });

  it('puts the chatty client behind the quiet one', () => {
    const line = Array.from({ length: 6 }, () => ({ model: 'warm', caller: 'chatty' }));
    expect(next(gpu('n1'), [...line, { model: 'warm', caller: 'quiet' }])).toBe(6);
  });

  it('remembers for ten minutes what a client has asked for, however often it looks', () => {
    const rival = new TierScore();
    const asked = asking('warm');
    for (let i = 0; i < 30; i += 1) rival.next(gpu('n1'), [asked], [0], seen([gpu('n1')]), ['once']);
    for (let i = 0; i < 5; i += 1) next(gpu('n1'), [{ model: 'warm', caller: 'often' }], [], rival);
    const line = [
      { model: 'warm', caller: 'often' },
      { model: 'warm', caller: 'once' },
    ];
    expect(next(gpu('n1'), line, [], rival)).toBe(1);
  });

  it('takes at most 100 points for what a client has asked for', () => {
    const flood = Array.from({ length: 80 }, () => ({ model: 'warm', caller: 'flood' }));
    expect(next(gpu('n1'), [...flood, { model: 'small', caller: 'quiet' }])).toBe(0);
  });

  it('leaves a request to a free node of a better tier, and takes it when that one is busy', () => {
    const [cold, busy] = [node('n2', { models, vramTotalBytes: 48 * GIB }), gpu('n3', { slots: 0 })];
    expect(next(cold, [{ model: 'warm' }], [gpu('n1')])).toBeUndefined();
    expect(next(cold, [{ model: 'warm' }], [busy])).toBe(0);
  });

  it('puts no model on a node whose VRAM cannot hold it, while some node can', () => {
    const tiny = node('n2', { models, vramTotalBytes: 12 * GIB });
    expect(next(tiny, [{ model: 'large' }], [gpu('n1', { slots: 0 })])).toBeUndefined();
    expect(next(tiny, [{ model: 'large' }])).toBe(0);
  });

  it('takes nothing that the node does not have', () => {
    expect(next(gpu('n1'), [{ model: 'unheard of' }])).toBeUndefined();
  });

  it('chooses the node of the best tier, the idler one among equals', () => {
    const rival = new TierScore();
    const empty = node('n3', { models });
    const nodes = [empty, gpu('n1'), gpu('n2')];
    expect(rival.choose(asking('warm'), seen(nodes, { busy: { n1: 2, n2: 1 } }))).toBe('n2');
    expect(rival.choose(asking('medium'), seen(nodes))).toBe('n3');
  });
});
