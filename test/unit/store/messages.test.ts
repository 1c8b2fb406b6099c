import { expect, it } from 'vitest';
import { decodeMessage, encodeMessage, isMessageOf } from '../../../src/store/redis/messages.ts';

const text = encodeMessage({ from: 'r1', to: undefined, topic: 'outcomes', body: { from: 'r2' } });

it('a message tells whose it is before it is read', () => {
  expect(isMessageOf('r1', text)).toBe(true);
  expect(isMessageOf('r', text)).toBe(false);
  expect(isMessageOf('r2', text)).toBe(false);
});

it('what is written is what is read', () => {
  expect(decodeMessage(text)).toEqual({ from: 'r1', to: undefined, topic: 'outcomes', body: { from: 'r2' } });
});

it('F46: what is no message is none', () => {
  for (const garbage of [
    '',
    '{',
    '[]',
    '{"from":"r1"}',
    '{"from":"","topic":"leases"}',
    '{"from":"r1","topic":"x"}',
  ])
    expect(decodeMessage(garbage)).toBeUndefined();
});
