import { describe, expect, it } from 'vitest';
import { NO_FIGURES } from '../../../../src/fleet/figures.ts';
import { HerdScore } from '../../../../src/routing/rivals/herd-score.ts';
import { GIB, MODEL, NOW, node, onDisk, request, resident, warmNode } from '../builders.ts';
import { seen } from './builders.ts';

/** 5 GiB on disk. */
const points = (of: ReturnType<typeof node>, fields: Parameters<typeof seen>[1] = {}, bytes = 0) =>
  new HerdScore().points(of, request({ promptBytes: bytes }), seen([of], fields));
const sized = (gib: number) => ({ ...onDisk(MODEL), sizeBytes: gib * GIB });

describe('herd-score', () => {
  it('gives 50 points for a model in memory, 10 for one on disk', () => {
    expect(points(warmNode('n1')).thermal).toBe(50);
    expect(points(node('n1')).thermal).toBe(10);
  });

  it('gives 30 points for half an hour after the model was last seen in memory', () => {
    const rival = new HerdScore();
    rival.choose(request(), seen([warmNode('n1')]));
    const later = (ms: number) =>
      rival.points(node('n1'), request(), seen([node('n1')], { now: NOW + ms })).thermal;
    expect(later(60_000)).toBe(30);
    expect(later(1_800_000)).toBe(10);
  });

  it.each([
    { freeGib: 24, want: 20 },
    { freeGib: 8, want: 15 },
    { freeGib: 6.5, want: 8 },
    { freeGib: 5, want: 3 },
    { freeGib: 2, want: 0 },
  ])('gives $want points for memory where $freeGib GiB are free for 5', ({ freeGib, want }) => {
    const cold = node('n1', {
      models: [sized(5)],
      vramTotalBytes: 24 * GIB,
      vramUsedBytes: (24 - freeGib) * GIB,
    });
    expect(points(cold).memoryFit).toBe(want);
  });

  it.each([
    { queued: 0, running: 0, want: -0 },
    { queued: 1, running: 2, want: -18 },
    { queued: 9, running: 2, want: -30 },
  ])(
    'takes 6 points for each of $queued waiting and $running running, 30 at most',
    ({ queued, running, want }) => {
      expect(points(warmNode('n1'), { queued: { n1: queued }, busy: { n1: running } }).queueDepth).toBe(want);
    },
  );

  it('takes a point for each 10 s of expected wait, 25 at most', () => {
    const heldMs = { value: 20_000, spread: 0, weight: 5, at: 0 };
    const slow = warmNode('n1', { figures: new Map([[MODEL, { ...NO_FIGURES, heldMs }]]) });
    expect(points(slow, { busy: { n1: 3 } }).waitTime).toBe(-6);
    expect(points(slow, { busy: { n1: 30 } }).waitTime).toBe(-25);
  });

  it.each([
    { modelGib: 40, nodeGib: 192, want: 15 },
    { modelGib: 40, nodeGib: 48, want: 5 },
    { modelGib: 40, nodeGib: 24, want: 0 },
    { modelGib: 12, nodeGib: 24, want: 5 },
    { modelGib: 4, nodeGib: 24, want: 15 },
    { modelGib: 4, nodeGib: 64, want: 8 },
    { modelGib: 4, nodeGib: 192, want: 3 },
  ])(
    'gives $want points for a $modelGib GiB model on a $nodeGib GiB machine',
    ({ modelGib, nodeGib, want }) => {
      expect(
        points(node('n1', { models: [sized(modelGib)], vramTotalBytes: nodeGib * GIB })).roleAffinity,
      ).toBe(want);
    },
  );

  it.each([
    { tokens: 8_000, want: -15 },
    { tokens: 3_000, want: 3 },
    { tokens: 2_000, want: 7.5 },
    { tokens: 1_000, want: 12 },
    { tokens: 100, want: 15 },
  ])('gives $want points for $tokens tokens in a context of 4096', ({ tokens, want }) => {
    const warm = node('n1', { warm: [{ ...resident(MODEL), contextLength: 4_096 }] });
    expect(points(warm, {}, tokens * 4).contextFit).toBe(want);
  });

  it.each([
    { queued: 4, promptBytes: 0, want: 'n1' },
    { queued: 40, promptBytes: 0, want: 'n2' },
    // Roomy context is worth as much as the whole difference: then no queue is too long.
    { queued: 40, promptBytes: 400, want: 'n1' },
  ])(
    'with $queued queued where it is warm and $promptBytes bytes to read, takes $want',
    ({ queued, promptBytes, want }) => {
      const nodes = [warmNode('n1'), node('n2', { vramTotalBytes: 24 * GIB, models: [sized(5)] })];
      expect(new HerdScore().choose(request({ promptBytes }), seen(nodes, { queued: { n1: queued } }))).toBe(
        want,
      );
    },
  );

  it('leaves out nodes without memory for the load while another has some', () => {
    const full = node('n1', { models: [sized(5)], vramTotalBytes: 8 * GIB, vramUsedBytes: 7 * GIB });
    const busy = node('n2', { models: [sized(5)], vramTotalBytes: 24 * GIB });
    const choose = (...nodes: ReturnType<typeof node>[]) =>
      new HerdScore().choose(request(), seen(nodes, { queued: { n2: 50 } }));
    expect(choose(full, busy)).toBe('n2');
    expect(choose(full)).toBe('n1');
  });
});
