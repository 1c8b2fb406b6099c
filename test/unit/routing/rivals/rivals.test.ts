import { describe, expect, it } from 'vitest';
import { createRival } from '../../../../src/routing/rivals/create.ts';
import { RIVAL_POLICIES } from '../../../../src/routing/rivals/names.ts';
import { node, request, warmNode } from '../builders.ts';
import { seen } from './builders.ts';

const [a, b, c] = [node('n1'), node('n2'), node('n3')];
const three = [a, b, c] as const;

describe.each(RIVAL_POLICIES)('%s', (name) => {
  it('answers its own name and always a node of those that may take the request', () => {
    const rival = createRival(name);
    expect(rival.name).toBe(name);
    for (let i = 0; i < 50; i += 1) {
      const fit = three.slice(0, 1 + (i % 3));
      const asked = request({ fingerprint: `body ${i}`, promptBytes: i * 1_000 });
      const situation = seen(fit, { busy: { n1: i % 5, n2: i % 3 }, random: () => (i % 10) / 10 });
      expect(fit.map(({ id }) => id)).toContain(rival.choose(asked, situation));
    }
  });

  it('keeps no state that another of its kind would see', () => {
    const choices = () => {
      const rival = createRival(name);
      return Array.from({ length: 10 }, () => rival.choose(request(), seen(three)));
    };
    expect(choices()).toEqual(choices());
  });

  it('refuses to choose among nobody', () => {
    expect(() => createRival(name).choose(request(), seen([]))).toThrow(RangeError);
  });
});

describe('random', () => {
  it.each([
    { dice: 0, want: 'n1' },
    { dice: 0.34, want: 'n2' },
    { dice: 0.999, want: 'n3' },
  ])('takes $want where chance says $dice', ({ dice, want }) => {
    expect(createRival('random').choose(request(), seen(three, { random: () => dice }))).toBe(want);
  });
});

describe('round-robin', () => {
  it('takes each in its turn, whatever is in memory or busy', () => {
    const rival = createRival('round-robin');
    const situation = seen([a, warmNode('n2'), c], { busy: { n1: 9 } });
    const turns = Array.from({ length: 4 }, () => rival.choose(request(), situation));
    expect(turns).toEqual(['n1', 'n2', 'n3', 'n1']);
  });
});

describe('least-in-flight', () => {
  it.each([
    { name: 'the idlest', nodes: three, busy: { n1: 2, n2: 1, n3: 2 }, want: 'n2' },
    { name: 'the lowest name where all are equal', nodes: [c, b, a], busy: {}, want: 'n1' },
    {
      name: 'the lowest port among equals, as a number',
      nodes: [node('n1', { address: '127.0.0.1:24010' }), node('n2', { address: '127.0.0.1:9001' })],
      busy: {},
      want: 'n2',
    },
    {
      name: 'an idle cold node rather than a busy warm one',
      nodes: [warmNode('n1'), b],
      busy: { n1: 1 },
      want: 'n2',
    },
  ])('takes $name', ({ nodes, busy, want }) => {
    expect(createRival('least-in-flight').choose(request(), seen(nodes, { busy }))).toBe(want);
  });
});

describe('fastest-response', () => {
  it.each([
    { name: 'the fastest so far', responseMs: { n1: 900, n2: 300, n3: 500 }, want: 'n2' },
    { name: 'one that has not answered yet first', responseMs: { n1: 900, n2: 300 }, want: 'n3' },
  ])('takes $name', ({ responseMs, want }) => {
    expect(createRival('fastest-response').choose(request(), seen(three, { responseMs }))).toBe(want);
  });
});

describe('prefix-hash', () => {
  const turn = (...hashes: number[]) =>
    request({
      prefixes: hashes.map((hash, i) => ({ hash, bytes: 100 * (i + 1) })),
      fingerprint: hashes.join(),
    });

  it('keeps a conversation on one node as it grows', () => {
    const rival = createRival('prefix-hash');
    for (let conversation = 1; conversation <= 20; conversation += 1) {
      const turns = [turn(7, conversation), turn(7, conversation, 8), turn(7, conversation, 8, 9)];
      expect(new Set(turns.map((asked) => rival.choose(asked, seen(three)))).size).toBe(1);
    }
  });

  it('spreads conversations, and moves only those of a node that goes', () => {
    const rival = createRival('prefix-hash');
    const asked = Array.from({ length: 300 }, (_, i) => turn(7, i * 7_919));
    const before = asked.map((one) => rival.choose(one, seen(three)));
    for (const { id } of three) expect(before.filter((chosen) => chosen === id).length).toBeGreaterThan(60);
    const after = asked.map((one) => rival.choose(one, seen([a, c])));
    expect(after.filter((chosen, i) => chosen !== before[i] && before[i] !== 'n2')).toEqual([]);
  });

  it('passes over a node that carries more than 1.25 times the mean', () => {
    const rival = createRival('prefix-hash');
    const asked = turn(7, 1);
    const home = rival.choose(asked, seen(three));
    expect(rival.choose(asked, seen(three, { busy: { n1: 3, n2: 3, n3: 3 } }))).toBe(home);
    expect(rival.choose(asked, seen(three, { busy: { [home]: 4 } }))).not.toBe(home);
  });
});
