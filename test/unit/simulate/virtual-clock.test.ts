import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../../src/simulate/engine/virtual-clock.ts';

describe('VirtualClock', () => {
  it('lets events happen in the order of their times, those of one moment as they were planned', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 200 }), fc.array(fc.nat(200)), (delays, calledOff) => {
        const clock = new VirtualClock();
        const seen: [at: number, order: number][] = [];
        const cancels = delays.map((delay, order) =>
          clock.after(delay, () => seen.push([clock.now(), order])),
        );
        const gone = new Set(calledOff.filter((order) => order < delays.length));
        for (const order of gone) cancels[order]?.();
        clock.run(() => false);
        const wanted = delays
          .map((delay, order): [number, number] => [delay, order])
          .filter(([, order]) => !gone.has(order))
          .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
        expect(seen).toEqual(wanted);
      }),
    );
  });

  it('stays in order when most of what was planned is called off', () => {
    const clock = new VirtualClock();
    const seen: number[] = [];
    const cancels = Array.from({ length: 5_000 }, (_, at) =>
      clock.after(5_000 - at, () => seen.push(5_000 - at)),
    );
    for (const [at, cancel] of cancels.entries()) if (at % 10 !== 0) cancel();
    clock.run(() => false);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen).toHaveLength(500);
  });

  it('stands still where it is told to stop, and goes on from there', () => {
    const clock = new VirtualClock();
    const seen: number[] = [];
    clock.after(100, () => seen.push(clock.now()));
    clock.run(() => false, 50);
    expect([clock.now(), seen]).toEqual([50, []]);
    clock.run(() => false, 200);
    expect([clock.now(), seen]).toEqual([200, [100]]);
  });

  it('never calls what is planned for infinity, and at once what is no time', () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    clock.after(Number.POSITIVE_INFINITY, () => seen.push('never'));
    clock.after(Number.NaN, () => seen.push('now'));
    clock.run(() => false);
    expect([clock.now(), seen]).toEqual([0, ['now']]);
  });

  it('wakes sleepers at their time, or when they are told to give up', async () => {
    const clock = new VirtualClock();
    const stop = new AbortController();
    const slept = clock.sleep(30, new AbortController().signal).then(() => 'slept');
    const stopped = clock.sleep(1e9, stop.signal).then(() => 'stopped');
    stop.abort();
    clock.run(() => false);
    expect(await Promise.all([slept, stopped])).toEqual(['slept', 'stopped']);
    expect(clock.now()).toBe(30);
  });
});
