import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NodePromptMemory } from '../../../src/fleet/prompt-memory.ts';
import type { PromptPrefix } from '../../../src/request/types.ts';

/** A hundred bytes for each hash. */
const chain = (...hashes: number[]): PromptPrefix[] =>
  hashes.map((hash, index) => ({ hash, bytes: (index + 1) * 100 }));
const HOUR_MS = 3_600_000;

describe('NodePromptMemory', () => {
  it('knows nothing of a node that read nothing', () => {
    const memory = new NodePromptMemory();
    memory.note('n1', 'm', chain(1, 2), 1, 0);
    expect(memory.cachedBytes('n2', 'm', chain(1, 2), 0)).toBe(0);
    expect(memory.cachedBytes('n1', 'other', chain(1, 2), 0)).toBe(0);
    expect(memory.cachedBytes('n1', 'm', chain(8, 9), 0)).toBe(0);
    expect(memory.cachedBytes('n1', 'm', [], 0)).toBe(0);
  });

  it('tells the longest beginning that the node has read', () => {
    const memory = new NodePromptMemory();
    memory.note('n', 'm', chain(1, 2, 3), 1, 0);
    expect(memory.cachedBytes('n', 'm', chain(1, 2, 3, 4, 5), 1)).toBe(300);
    expect(memory.cachedBytes('n', 'm', chain(1, 2, 7), 1)).toBe(200);
    expect(memory.cachedBytes('n', 'm', chain(1), 1)).toBe(100);
  });

  it('keeps one prompt on a node with one slot', () => {
    const memory = new NodePromptMemory();
    memory.note('n', 'm', chain(1, 2), 1, 0);
    memory.note('n', 'm', chain(5, 6), 1, 1);
    expect(memory.cachedBytes('n', 'm', chain(1, 2), 2)).toBe(0);
    expect(memory.cachedBytes('n', 'm', chain(5, 6), 2)).toBe(200);
    expect(memory.size).toBe(1);
  });

  it('overwrites the slot that was used longest ago', () => {
    const memory = new NodePromptMemory();
    memory.note('n', 'm', chain(1, 2), 2, 0);
    memory.note('n', 'm', chain(3, 4), 2, 1);
    memory.note('n', 'm', chain(1, 2, 21), 2, 2);
    memory.note('n', 'm', chain(5, 6), 2, 3);
    expect(memory.cachedBytes('n', 'm', chain(3, 4), 4)).toBe(0);
    expect(memory.cachedBytes('n', 'm', chain(1, 2, 21), 4)).toBe(300);
    expect(memory.cachedBytes('n', 'm', chain(5, 6), 4)).toBe(200);
  });

  it('a conversation that goes on keeps its slot', () => {
    const memory = new NodePromptMemory();
    memory.note('n', 'm', chain(1, 2), 4, 0);
    memory.note('n', 'm', chain(1, 2, 3), 4, 1);
    memory.note('n', 'm', chain(1, 2, 3, 4), 4, 2);
    memory.note('n', 'm', chain(1, 2, 3, 40), 4, 3);
    expect(memory.size).toBe(1);
    expect(memory.cachedBytes('n', 'm', chain(1, 2, 3, 40), 4)).toBe(400);
    expect(memory.cachedBytes('n', 'm', chain(1, 2, 3, 4), 4)).toBe(300);
  });

  it('two conversations with one system prompt take two slots', () => {
    const memory = new NodePromptMemory();
    memory.note('n', 'm', chain(1, 2), 2, 0);
    memory.note('n', 'm', chain(1, 3), 2, 1);
    expect(memory.cachedBytes('n', 'm', chain(1, 2), 2)).toBe(200);
    expect(memory.cachedBytes('n', 'm', chain(1, 3), 2)).toBe(200);
    memory.note('n', 'm', chain(7, 8), 2, 2);
    expect(memory.cachedBytes('n', 'm', chain(1, 2), 3)).toBe(100); // the second one still has the system prompt
  });

  it('forgets a model that was unloaded, and no other', () => {
    const memory = new NodePromptMemory();
    memory.note('n', 'a', chain(1), 1, 0);
    memory.note('n', 'b', chain(1), 1, 0);
    memory.note('x', 'a', chain(1), 1, 0);
    memory.forget('n', 'a');
    expect(memory.cachedBytes('n', 'a', chain(1), 0)).toBe(0);
    expect(memory.cachedBytes('n', 'b', chain(1), 0)).toBe(100);
    memory.forget('n');
    expect(memory.cachedBytes('n', 'b', chain(1), 0)).toBe(0);
    expect(memory.cachedBytes('x', 'a', chain(1), 0)).toBe(100);
    memory.forget('nobody', 'nothing');
    expect(memory.size).toBe(1);
  });

  it('no longer believes in what was read an hour ago', () => {
    const memory = new NodePromptMemory();
    memory.note('n', 'm', chain(1), 1, 0);
    expect(memory.cachedBytes('n', 'm', chain(1), HOUR_MS)).toBe(100);
    expect(memory.cachedBytes('n', 'm', chain(1), HOUR_MS + 1)).toBe(0);
  });

  it('does not answer from before what it has heard since', () => {
    const memory = new NodePromptMemory();
    const prefixes = chain(1, 2);
    expect(memory.cachedBytes('n', 'm', prefixes, 0)).toBe(0);
    memory.note('n', 'm', prefixes, 1, 0);
    expect(memory.cachedBytes('n', 'm', prefixes, 0)).toBe(200);
    expect(memory.cachedBytes('n', 'other', prefixes, 0)).toBe(0);
    memory.note('x', 'm', prefixes, 1, 0);
    memory.forget('n', 'm');
    expect(memory.cachedBytes('n', 'm', prefixes, 0)).toBe(0);
    expect(memory.cachedBytes('x', 'm', prefixes, 0)).toBe(200);
    memory.forget('x');
    expect(memory.cachedBytes('x', 'm', prefixes, 0)).toBe(0);
  });

  it.each([0, -1, Number.NaN, 0.5])('takes %d slots for one', (slots) => {
    const memory = new NodePromptMemory();
    memory.note('n', 'm', chain(1), slots, 0);
    memory.note('n', 'm', chain(2), slots, 0);
    expect(memory.size).toBe(1);
  });

  it('is bounded, however many nodes there are: the oldest go', () => {
    const memory = new NodePromptMemory(1_000);
    for (let i = 0; i < 10_000; i++) memory.note(`n${i}`, 'm', chain(1, i), 4, i);
    expect(memory.size).toBe(1_000);
    expect(memory.cachedBytes('n8999', 'm', chain(1), 10_000)).toBe(0);
    expect(memory.cachedBytes('n9000', 'm', chain(1), 10_000)).toBe(100);
  });

  it('remembers 64 prompts of a node that says it has a million slots', () => {
    const memory = new NodePromptMemory();
    for (let i = 0; i < 200; i++) memory.note('n', 'm', chain(2 * i, 2 * i + 1), 1_000_000, i);
    expect(memory.size).toBe(64);
  });

  it('never claims a beginning that is in none of the prompts it still holds, nor more slots than there are', () => {
    const note = fc.record({
      node: fc.constantFrom('a', 'b'),
      model: fc.constantFrom('m', 'o'),
      hashes: fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 5 }),
    });
    fc.assert(
      fc.property(fc.array(note, { maxLength: 40 }), fc.integer({ min: 1, max: 3 }), (notes, slots) => {
        const memory = new NodePromptMemory();
        const read = new Map<string, number[][]>();
        for (const [now, { node, model, hashes }] of notes.entries()) {
          memory.note(node, model, chain(...hashes), slots, now);
          const key = `${node} ${model}`;
          read.set(key, [...(read.get(key) ?? []), hashes]);
          expect(memory.cachedBytes(node, model, chain(...hashes), now)).toBe(hashes.length * 100);
        }
        expect(memory.size).toBeLessThanOrEqual(read.size * slots);
        for (const node of ['a', 'b']) {
          for (const model of ['m', 'o']) {
            for (let hash = 0; hash <= 6; hash++) {
              if (memory.cachedBytes(node, model, chain(hash), notes.length) === 0) continue;
              expect(read.get(`${node} ${model}`)?.some((hashes) => hashes.includes(hash))).toBe(true);
            }
          }
        }
        memory.forget('a');
        memory.forget('b');
        expect(memory.size).toBe(0);
      }),
      { numRuns: 1000 },
    );
  });
});
