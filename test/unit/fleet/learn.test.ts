import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { slotsAfter } from '../../../src/fleet/learn-slots.ts';
import { GIB, NodeLife, onDisk, service } from './builders.ts';

describe('slots', () => {
  it.each([
    {
      name: 'a second request that did not wait shows a second slot',
      slots: 1,
      given: { concurrency: 2 },
      want: 2,
    },
    { name: 'they rise one step at a time', slots: 1, given: { concurrency: 8 }, want: 2 },
    {
      name: 'a request that waited shows nothing new',
      slots: 1,
      given: { concurrency: 2, totalMs: 2_000 },
      want: 1,
    },
    { name: 'running within the belief teaches nothing', slots: 4, given: { concurrency: 4 }, want: 4 },
    {
      name: 'a wait within the belief shows that there are fewer',
      slots: 4,
      given: { concurrency: 3, totalMs: 2_000 },
      want: 2,
    },
    {
      name: 'two that wait for each other leave one',
      slots: 2,
      given: { concurrency: 2, totalMs: 9_000 },
      want: 1,
    },
    {
      name: 'a request that was alone waits only for strangers',
      slots: 4,
      given: { concurrency: 1, totalMs: 9_000 },
      want: 4,
    },
    {
      name: 'a wait that could be noise changes nothing',
      slots: 4,
      given: { concurrency: 3, totalMs: 1_205 },
      want: 4,
    },
    {
      name: 'a cold request teaches nothing',
      slots: 1,
      given: { concurrency: 2, wasWarm: false },
      want: 1,
    },
    {
      name: 'a reload in the middle teaches nothing',
      slots: 4,
      given: { concurrency: 2, loadMs: 900, totalMs: 9_000 },
      want: 4,
    },
    {
      name: 'an API without durations teaches nothing',
      slots: 1,
      given: { concurrency: 2, evalMs: undefined },
      want: 1,
    },
    {
      name: 'a very short request teaches nothing',
      slots: 1,
      given: { concurrency: 2, promptEvalMs: 5, evalMs: 20, totalMs: 30 },
      want: 1,
    },
    { name: 'there is a bound', slots: 64, given: { concurrency: 200 }, want: 64 },
  ])('$name', ({ slots, given, want }) => {
    expect(slotsAfter(slots, service(given))).toBe(want);
  });

  it.each([1, 2, 4, 8])('converge on the %i that a node has, and stay there', (real) => {
    const node = new NodeLife().polled();
    const seen: number[] = [];
    for (let i = 0; i < 400; i += 1) {
      // A queue as Ollama has it: 12 requests in turn, the first `real` run, the others wait for a whole turn each.
      const concurrency = (i % 12) + 1;
      const turns = Math.max(0, Math.ceil((concurrency - real) / real));
      node.wait(100).served({ concurrency, totalMs: 1_005 + turns * 1_000 });
      if (i >= 200) seen.push(node.record.learnt.slots);
    }
    expect(new Set(seen)).toEqual(new Set([real]));
  });

  it('fall quickly when the node is restarted with fewer', () => {
    const node = new NodeLife().polled();
    for (let i = 2; i <= 8; i += 1) node.served({ concurrency: i });
    expect(node.record.learnt.slots).toBe(8);
    node.served({ concurrency: 2, totalMs: 2_000 });
    expect(node.record.learnt.slots).toBe(1);
  });

  it('stay whole numbers from 1 to 64, whatever the node reports', () => {
    const ms = fc.option(fc.oneof(fc.double(), fc.nat(100_000)), { nil: undefined });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 0, max: 1_000 }),
        ms,
        ms,
        ms,
        fc.double(),
        (slots, concurrency, loadMs, promptEvalMs, evalMs, totalMs) => {
          const next = slotsAfter(slots, service({ concurrency, loadMs, promptEvalMs, evalMs, totalMs }));
          expect(Number.isInteger(next)).toBe(true);
          expect(next).toBeGreaterThanOrEqual(1);
          expect(next).toBeLessThanOrEqual(64);
        },
      ),
    );
  });
});

describe('load rate', () => {
  const node = (): NodeLife => new NodeLife().polled().tagged(onDisk('m:latest', { sizeBytes: 10 * GIB }));
  const cold = (loadMs: number) => ({ wasWarm: false, loadMs, totalMs: loadMs + 1_000 });

  it('is learnt from the first load of a model of known size', () => {
    const { learnt } = node().served(cold(10_500)).record;
    expect(learnt.loadBytesPerSecond).toBeCloseTo(GIB, -6);
  });

  it('moves faster towards fast loads, as slow ones may have waited', () => {
    const rate = (...loads: number[]): number => {
      const life = node();
      for (const loadMs of loads) life.served(cold(loadMs));
      return life.record.learnt.loadBytesPerSecond ?? 0;
    };
    const before = rate(10_500);
    expect(rate(10_500, 5_500) / before).toBeCloseTo(1.5);
    expect(rate(10_500, 20_500) / before).toBeCloseTo(0.9);
  });

  it.each([
    { name: 'a warm request', fields: { wasWarm: true, loadMs: 5 } },
    { name: 'an API without durations', fields: { wasWarm: false, loadMs: undefined } },
    { name: 'no load at all', fields: { wasWarm: false, loadMs: 3 } },
  ])('is not learnt from $name', ({ fields }) => {
    expect(node().served(fields).record.learnt.loadBytesPerSecond).toBeUndefined();
  });

  it('is not learnt from a model too small to tell', () => {
    const life = new NodeLife().tagged(onDisk('m:latest', { sizeBytes: 300_000 })).served(cold(290));
    expect(life.record.learnt.loadBytesPerSecond).toBeUndefined();
  });
});

describe('service time', () => {
  const ms = (node: NodeLife): number | undefined => node.record.learnt.serviceMs.get('m:latest');

  it('is the work alone: neither the wait nor the load counts', () => {
    expect(ms(new NodeLife().served({ totalMs: 60_000, loadMs: 20_000 }))).toBe(1_000);
  });

  it('is estimated from the total and the queue where the node reports no durations', () => {
    const bare = { loadMs: undefined, promptEvalMs: undefined, evalMs: undefined };
    expect(ms(new NodeLife().served({ ...bare, totalMs: 4_000 }))).toBe(4_000);
    expect(ms(new NodeLife().served({ ...bare, totalMs: 4_000, concurrency: 4 }))).toBe(1_000);
    expect(ms(new NodeLife().served({ ...bare, totalMs: 4_000, wasWarm: false }))).toBeUndefined();
  });

  it('follows what it sees', () => {
    const node = new NodeLife().served();
    for (let i = 0; i < 40; i += 1) node.served({ evalMs: 4_800, totalMs: 5_005 });
    expect(ms(node)).toBeGreaterThan(4_400);
  });

  it('leaves the record as it is where nothing noticeable changed, so that no snapshot is rebuilt', () => {
    const node = new NodeLife().polled().tagged(onDisk('m:latest')).served();
    const before = node.record;
    expect(node.wait(10).served({ evalMs: 810, totalMs: 1_015 }).record).toBe(before);
  });

  it('is kept for a bounded number of models, the latest ones', () => {
    const node = new NodeLife();
    for (let i = 0; i < 300; i += 1) node.served({}, `m${i}`);
    expect(node.record.learnt.serviceMs.size).toBe(256);
    expect(node.record.learnt.serviceMs.has('m299')).toBe(true);
    expect(node.record.learnt.serviceMs.has('m0')).toBe(false);
  });
});
