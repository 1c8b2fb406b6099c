import { beforeEach, expect, it } from 'vitest';
import { StoreTrouble } from '../../../../src/app/sharing/store-trouble.ts';
import { StoreError, type StoreState } from '../../../../src/store/contract.ts';
import { MemoryLog } from '../../../support/memory-log.ts';

const gone = new StoreError('disconnected', 'Redis is not connected');
let log: MemoryLog;
let store: { isShared: boolean; state: StoreState };
let trouble: StoreTrouble;

beforeEach(() => {
  log = new MemoryLog();
  store = { isShared: true, state: 'up' };
  trouble = new StoreTrouble({ store, log, failing: 'cannot be kept', over: 'is kept again' });
});

it('with a shared store that is down is said by the store alone', () => {
  store.state = 'down';
  for (let round = 0; round < 10; round += 1) trouble.met(gone);
  expect(trouble.isPresent).toBe(true);
  trouble.over();
  expect(trouble.isPresent).toBe(false);
  expect(log.lines).toEqual([]);
});

it('with a shared store that is about to notice that it is down is not said either', () => {
  trouble.met(gone);
  trouble.met(gone);
  store.state = 'connecting';
  trouble.met(gone);
  expect(log.lines).toEqual([]);
});

it('with a shared store that is up but refuses is said once, with the reason and without a stack, and once when it is over', () => {
  for (let round = 0; round < 10; round += 1) trouble.met(new StoreError('refused', 'Redis: NOPERM'));
  trouble.over();
  trouble.over();
  expect(log.lines).toEqual([
    { level: 'warn', message: 'cannot be kept (Redis: NOPERM)', fields: { reason: 'refused' } },
    { level: 'info', message: 'is kept again', fields: {} },
  ]);
});

it('with a store of its own is said at once', () => {
  store.isShared = false;
  trouble.met(new Error('disk full'));
  expect(log.messages('warn')).toEqual(['cannot be kept']);
});
