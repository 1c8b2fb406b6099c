import { describe, expect, it } from 'vitest';
import { Turns } from '../../../../src/envoy/processor/turns.ts';

/** A loop whose rounds a test runs by hand, and a clock that slices move. */
function setUp() {
  let now = 0;
  const rounds: (() => void)[] = [];
  const turns = new Turns(
    () => now,
    (fn) => rounds.push(fn),
  );
  const log: string[] = [];
  const work = (name: string, slices: number, ms: number) => {
    let left = slices;
    turns.add(() => {
      log.push(name);
      now += ms;
      left -= 1;
      return left === 0;
    });
  };
  const round = () => {
    log.length = 0;
    rounds.shift()?.();
    return [...log];
  };
  return { turns, work, round, pending: () => rounds.length };
}

describe('turns', () => {
  it('nothing runs before the event loop comes round', () => {
    const { work, round } = setUp();
    work('a', 1, 1);
    expect(round()).toEqual(['a']);
  });

  it('waiting work runs slice by slice in turn', () => {
    const { work, round, pending } = setUp();
    work('a', 2, 1);
    work('b', 1, 1);
    expect(round()).toEqual(['a', 'b', 'a']);
    expect(pending()).toBe(0);
  });

  it('a round ends after 3 ms however much waits', () => {
    const { work, round, turns } = setUp();
    for (let i = 0; i < 100; i++) work(`w${i}`, 1, 2);
    expect(round()).toEqual(['w0', 'w1']);
    expect(round()).toEqual(['w2', 'w3']);
    expect(turns.size).toBe(96);
  });

  it('a slice that throws does not stop the others', () => {
    const { turns, work, round, pending } = setUp();
    turns.add(() => {
      throw new Error('broken');
    });
    work('a', 1, 1);
    expect(round).toThrow('broken');
    expect(pending()).toBe(1);
    expect(round()).toEqual(['a']);
  });
});
