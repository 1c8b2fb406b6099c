import { expect, it } from 'vitest';
import { parseJson } from '../../../src/nodes/parse-json.ts';

const parse = (text: string) => parseJson(Buffer.from(text));

it('reads JSON, with brackets in strings and behind escaped quotes', () => {
  const value = { a: ['[[[[[[[[[[[[[[[[[[[[', '\\"[[[[[[[[[[[[[[[[[[[['], b: { c: null } };
  expect(parse(JSON.stringify(value))).toEqual(value);
});

it.each([
  { name: 'a million brackets', text: '['.repeat(1_000_000), want: 'nested too deeply' },
  { name: 'seventeen levels', text: `${'['.repeat(17)}${']'.repeat(17)}`, want: 'nested too deeply' },
  { name: 'a broken document', text: '{"models":[', want: 'not JSON' },
  { name: 'HTML', text: '<html>', want: 'not JSON' },
  { name: 'nothing', text: '', want: 'not JSON' },
])('refuses $name without quoting it', ({ text, want }) => {
  expect(() => parse(text)).toThrow(`bad_answer: ${want}`);
});

it('refuses bytes that are not UTF-8', () => {
  expect(() => parseJson(Uint8Array.from([0x22, 0xff, 0x22]))).toThrow('bad_answer: not UTF-8');
});

it('reads sixteen levels', () => {
  expect(() => parse(`${'['.repeat(16)}${']'.repeat(16)}`)).not.toThrow();
});
