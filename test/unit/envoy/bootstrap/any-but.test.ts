import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyBut } from '../../../../src/envoy/bootstrap/any-but.ts';

const WORDS = ['x-warmpath-class', 'x-warmpath-deadline'];
const whole = (regex: string) => new RegExp(`^(?:${regex})$`);

describe('the names under a prefix, but a few', () => {
  const regex = whole(anyBut('x-warmpath-', WORDS));

  it.each(WORDS)('are not %s', (word) => {
    expect(regex.test(word)).toBe(false);
  });

  it.each(['x-warmpath-', 'x-warmpath-c', 'x-warmpath-classes', 'x-warmpath-decision', 'x-warmpath-cluster'])(
    'are %s',
    (name) => {
      expect(regex.test(name)).toBe(true);
    },
  );

  it('are all texts with the prefix but the words, and nothing else', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '.', '-'), maxLength: 5 });
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 6 }), letters, letters, (rests, prefix, rest) => {
        const words = rests.map((each) => prefix + each);
        const text = prefix + rest;
        const made = whole(anyBut(prefix, words));
        expect(made.test(text)).toBe(!words.includes(text));
        if (!rest.startsWith(prefix)) expect(made.test(rest)).toBe(false);
      }),
    );
  });
});
