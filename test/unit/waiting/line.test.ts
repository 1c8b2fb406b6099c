import { describe, expect, it } from 'vitest';
import { jain, LineBench } from './builders.ts';

describe('the order of the line', () => {
  it('is that of arrival among equals', () => {
    const bench = new LineBench();
    for (const name of ['a', 'b', 'c']) bench.join(name);
    expect(bench.drain()).toEqual(['a', 'b', 'c']);
  });

  it('is that of class first', () => {
    const bench = new LineBench();
    bench.join('b', { class: 'batch' });
    bench.join('n', { class: 'normal' });
    bench.join('i', { class: 'interactive' });
    expect(bench.drain()).toEqual(['i', 'n', 'b']);
  });

  it('counts one class up for each span of ageing', () => {
    const bench = new LineBench({ ageingMs: 1_000 });
    bench.join('batch', { class: 'batch' });
    bench.now = 999;
    bench.join('normal', { class: 'normal' });
    expect(bench.head()).toBe('normal');
    bench.now = 1_000;
    expect(bench.head()).toBe('batch');
    bench.join('interactive', { class: 'interactive' });
    expect(bench.head()).toBe('interactive');
    bench.now = 2_000;
    expect(bench.head()).toBe('batch');
  });

  it('gives whoever comes back in vain its old place', () => {
    const bench = new LineBench();
    const first = bench.join('a');
    bench.join('b');
    bench.line.call(first);
    expect(bench.head()).toBe('b');
    bench.line.recall(first);
    expect(bench.drain()).toEqual(['a', 'b']);
  });

  it('lets anybody leave from anywhere, once', () => {
    const bench = new LineBench();
    const places = ['a', 'b', 'c'].map((name) => bench.join(name, { heldBytes: 10 }));
    const [, middle] = places;
    if (middle === undefined) throw new Error('it just joined');
    expect(bench.line.leave(middle)).toBe(true);
    expect(bench.line.leave(middle)).toBe(false);
    expect(bench.line.size).toBe(2);
    expect(bench.line.bytes).toBe(20);
    expect(bench.drain()).toEqual(['a', 'c']);
  });
});

describe('fairness between callers', () => {
  it('lets a caller with one request in before the many of another', () => {
    const bench = new LineBench();
    for (let i = 0; i < 10; i += 1) bench.join(`chatty ${i}`, { caller: 'chatty', tokens: 2_000 });
    bench.serve('g', false);
    bench.join('polite', { caller: 'polite', tokens: 2_000 });
    expect(bench.head()).toBe('polite');
  });

  it('shares tokens evenly between two callers of whom one sends ten times as much', () => {
    const bench = new LineBench();
    const served = new Map([
      ['chatty', 0],
      ['polite', 0],
    ]);
    for (let i = 0; i < 1_000; i += 1) bench.join('chatty', { caller: 'chatty', tokens: 1_500 });
    for (let i = 0; i < 100; i += 1) bench.join('polite', { caller: 'polite', tokens: 1_500 });
    for (let i = 0; i < 150; i += 1) {
      const name = bench.serve() ?? '';
      served.set(name, (served.get(name) ?? 0) + 1_500);
    }
    expect(jain([...served.values()])).toBeGreaterThan(0.99);
  });

  it('counts tokens, not requests', () => {
    const bench = new LineBench();
    for (let i = 0; i < 40; i += 1) {
      bench.join('long', { caller: 'long', tokens: 8_000 });
      bench.join('short', { caller: 'short', tokens: 1_000 });
    }
    const names = Array.from({ length: 27 }, () => bench.serve());
    const long = names.filter((name) => name === 'long').length;
    expect(long).toBeGreaterThanOrEqual(2);
    expect(long).toBeLessThanOrEqual(5);
  });

  it('charges what a request really took, once that is known', () => {
    const bench = new LineBench();
    for (const caller of ['a', 'b'])
      for (let i = 0; i < 3; i += 1) bench.join(caller, { caller, tokens: 1_024 });
    expect(bench.serve()).toBe('a');
    bench.line.shares.corrects('a', 10_000);
    expect(Array.from({ length: 3 }, () => bench.serve())).toEqual(['b', 'b', 'b']);
  });

  it('gains nobody anything to have stayed away', () => {
    const bench = new LineBench();
    for (let i = 0; i < 50; i += 1) bench.join('here', { caller: 'here', tokens: 5_000 });
    for (let i = 0; i < 20; i += 1) bench.serve();
    for (let i = 0; i < 20; i += 1) bench.join('new', { caller: 'new', tokens: 5_000 });
    const names = Array.from({ length: 10 }, () => bench.serve());
    expect(names.filter((name) => name === 'here').length).toBeGreaterThanOrEqual(4);
  });

  it('reaches whoever has had much, however many newcomers there are', () => {
    const bench = new LineBench();
    bench.join('light', { caller: 'light', class: 'batch' });
    for (let i = 0; i < 2; i += 1) bench.join('heavy', { caller: 'heavy', tokens: 20_000 });
    expect(bench.serve()).toBe('heavy');
    let turns = 0;
    for (let next = ''; next !== 'heavy'; turns += 1) {
      if (turns > 200) throw new Error('it starves');
      bench.join(`newcomer ${turns}`, { caller: `newcomer ${turns}`, tokens: 2_000 });
      next = bench.serve() ?? '';
    }
    expect(turns).toBeGreaterThan(2);
  });
});

describe('the bounds of the line', () => {
  it('are a number of requests', () => {
    const bench = new LineBench({ maxRequests: 2 });
    bench.join('a');
    expect(bench.line.isFull(0)).toBe(false);
    const last = bench.join('b');
    expect(bench.line.isFull(0)).toBe(true);
    bench.line.leave(last);
    expect(bench.line.isFull(0)).toBe(false);
  });

  it('are bytes, but one request alone may have any size', () => {
    const bench = new LineBench({ maxBytes: 1_000 });
    expect(bench.line.isFull(5_000)).toBe(false);
    bench.join('large', { heldBytes: 900 });
    expect(bench.line.isFull(100)).toBe(false);
    expect(bench.line.isFull(101)).toBe(true);
  });
});

describe('how many are ahead of a newcomer', () => {
  const caller = (id: string, name: 'interactive' | 'normal' | 'batch' = 'normal') => ({
    id,
    class: name,
    maxWaitMs: 1,
    isPrivileged: false,
  });

  it('are the more urgent ones, its own, and a fair share of the others’', () => {
    const bench = new LineBench();
    for (let i = 0; i < 3; i += 1) bench.join('i', { caller: 'x', class: 'interactive' });
    for (let i = 0; i < 10; i += 1) bench.join('n', { caller: 'y' });
    for (let i = 0; i < 2; i += 1) bench.join('own', { caller: 'me' });
    bench.join('b', { caller: 'z', class: 'batch' });
    expect(bench.line.ahead('m:latest', caller('me'), 0)).toBe(3 + 2 + 3);
    expect(bench.line.ahead('m:latest', caller('me', 'interactive'), 0)).toBe(1);
    expect(bench.line.ahead('other:latest', caller('me'), 0)).toBe(0);
  });
});

describe('the report of the line', () => {
  it('counts by class, model, caller and reason', () => {
    const bench = new LineBench();
    bench.join('a', { caller: 'x', class: 'batch', heldBytes: 5 });
    bench.now = 400;
    bench.join('b', { caller: 'y', model: 'n:latest', group: 'h' });
    for (const group of bench.line.groups) if (group.key === 'h') group.reason = 'loading';
    bench.now = 1_000;
    expect(bench.line.report(bench.now)).toEqual({
      length: 2,
      bytes: 5,
      oldestMs: 1_000,
      byClass: { interactive: 0, normal: 1, batch: 1 },
      byModel: [
        { name: 'm:latest', waiting: 1, oldestMs: 1_000 },
        { name: 'n:latest', waiting: 1, oldestMs: 600 },
      ],
      byCaller: [
        { name: 'x', waiting: 1, oldestMs: 1_000 },
        { name: 'y', waiting: 1, oldestMs: 600 },
      ],
      byReason: { slots_busy: 1, loading: 1, no_room: 0 },
    });
  });

  it('of an empty line has no oldest', () => {
    expect(new LineBench().line.report(5)).toMatchObject({ length: 0, oldestMs: undefined });
  });
});
