import { describe, expect, it } from 'vitest';
import { StoreError } from '../../../src/store/contract.ts';
import { isServerWide, replyCode, storeErrorOf } from '../../../src/store/redis/redis-errors.ts';

function reply(message: string): Error {
  return Object.assign(new Error(message), { name: 'ReplyError' });
}

describe('what Redis says', () => {
  it.each([
    [reply("READONLY You can't write against a read only replica."), 'refused', 'READONLY', true],
    [reply('OOM command not allowed when used memory > maxmemory'), 'refused', 'OOM', true],
    [reply('CLUSTERDOWN Hash slot not served'), 'refused', 'CLUSTERDOWN', true],
    [reply('NOPERM this user has no permissions'), 'refused', 'NOPERM', false],
    [reply('WRONGTYPE Operation against a key'), 'corrupt', 'WRONGTYPE', false],
    [reply('ERR user_script:3: bad'), 'refused', 'ERR', false],
    [new Error('connect ECONNREFUSED 127.0.0.1:6379'), 'disconnected', '', false],
    ['odd', 'disconnected', '', false],
  ])('%s', (error, reason, code, isWide) => {
    const mapped = storeErrorOf(error);
    expect([mapped.reason, replyCode(mapped), isServerWide(mapped)]).toEqual([reason, code, isWide]);
  });

  it('is cut to one short line', () => {
    expect(storeErrorOf(reply(`ERR ${'x'.repeat(10_000)}\nsecond`)).message.length).toBeLessThan(220);
    expect(storeErrorOf(reply('ERR a\nsecond')).message).toBe('Redis: ERR a');
  });

  it('of a whole cluster includes what a node said', () => {
    const error = Object.assign(new Error('Failed to refresh slots cache.'), {
      lastNodeError: new Error('connect ECONNREFUSED 10.0.0.1:6379'),
    });
    expect(storeErrorOf(error).message).toBe(
      'Redis: Failed to refresh slots cache. connect ECONNREFUSED 10.0.0.1:6379',
    );
  });

  it('is passed on as it is where it is a StoreError already', () => {
    const error = new StoreError('timeout', 'late');
    expect(storeErrorOf(error)).toBe(error);
  });
});
