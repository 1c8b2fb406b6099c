import fc from 'fast-check';
import { expect, it } from 'vitest';
import { REQUEST_CLASSES } from '../../../src/waiting/types.ts';
import { LineBench } from './builders.ts';

const arrival = fc.record({
  caller: fc.constantFrom('a', 'b', 'c'),
  class: fc.constantFrom(...REQUEST_CLASSES),
  tokens: fc.integer({ min: 1, max: 5_000 }),
});
const step = fc.oneof(arrival, fc.constant('serve' as const), fc.constant('leave' as const));

it('whatever comes and goes, counts are right and each is served once', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const bench = new LineBench();
      const waiting = new Map<string, ReturnType<LineBench['join']>>();
      for (const [i, each] of steps.entries()) {
        bench.now += 50;
        if (each === 'serve') {
          const name = bench.serve();
          expect(name === undefined).toBe(waiting.size === 0);
          if (name !== undefined) expect(waiting.delete(name)).toBe(true);
        } else if (each === 'leave') {
          const [name] = [...waiting.keys()].slice(-1);
          const place = name === undefined ? undefined : waiting.get(name);
          if (name === undefined || place === undefined) continue;
          expect(bench.line.leave(place)).toBe(true);
          waiting.delete(name);
        } else {
          waiting.set(`${i}`, bench.join(`${i}`, { ...each, heldBytes: 3 }));
        }
        expect(bench.line.size).toBe(waiting.size);
        expect(bench.line.bytes).toBe(3 * waiting.size);
      }
      expect(new Set(bench.drain())).toEqual(new Set(waiting.keys()));
    }),
  );
});

it('nobody starves: under endless load of any mix, a batch request is served', () => {
  fc.assert(
    fc.property(fc.array(arrival, { minLength: 1, maxLength: 20 }), (mix) => {
      const bench = new LineBench({ ageingMs: 1_000 });
      bench.join('the one', { caller: 'me', class: 'batch', tokens: 5_000 });
      for (let turn = 0; turn < 2_000; turn += 1) {
        bench.now += 100;
        for (const [i, each] of mix.slice(0, 2).entries()) bench.join(`${turn}.${i}`, each);
        if (bench.serve() === 'the one') return;
      }
      throw new Error('it starved');
    }),
    { numRuns: 20 },
  );
});
