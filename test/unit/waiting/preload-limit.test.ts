import { expect, it } from 'vitest';
import { RouterError } from '../../../src/request/errors.ts';
import { PreloadLimit } from '../../../src/waiting/preload-limit.ts';
import type { Caller } from '../../../src/waiting/types.ts';
import { request } from '../routing/builders.ts';

const caller = (id: string, isPrivileged = false): Caller => ({
  id,
  class: 'normal',
  maxWaitMs: 0,
  isPrivileged,
});
const preload = request({ isEmpty: true });
const PER_MINUTE = 3;

/** Seconds to wait; undefined: allowed. */
function ask(limit: PreloadLimit, now: number, who = caller('a'), what = preload, perMinute = PER_MINUTE) {
  try {
    limit.check(what, who, perMinute, now);
    return undefined;
  } catch (error) {
    if (error instanceof RouterError && error.code === 'rate_limited') return error.retryAfterSeconds;
    throw error;
  }
}

it('lets as many through at once as a minute allows, then one as each token flows in (B37)', () => {
  const limit = new PreloadLimit();
  for (let i = 0; i < PER_MINUTE; i++) expect(ask(limit, 1_000)).toBeUndefined();
  expect(ask(limit, 1_000)).toBeCloseTo(20);
  expect(ask(limit, 11_000)).toBeCloseTo(10);
  expect(ask(limit, 21_000)).toBeUndefined();
  expect(ask(limit, 21_000)).toBeCloseTo(20);
});

it('fills up again, and not beyond', () => {
  const limit = new PreloadLimit();
  for (let i = 0; i < PER_MINUTE; i++) ask(limit, 0);
  for (let i = 0; i < PER_MINUTE; i++) expect(ask(limit, 3_600_000)).toBeUndefined();
  expect(ask(limit, 3_600_000)).toBeCloseTo(20);
});

it('counts each caller by itself, and not the privileged', () => {
  const limit = new PreloadLimit();
  for (let i = 0; i < PER_MINUTE; i++) ask(limit, 0);
  expect(ask(limit, 0, caller('b'))).toBeUndefined();
  for (let i = 0; i < 10; i++) expect(ask(limit, 0, caller('a', true))).toBeUndefined();
});

it('counts nothing but preloads', () => {
  const limit = new PreloadLimit();
  const others = [
    request(),
    request({ isEmpty: true, unloads: true }),
    request({ isEmpty: true, operation: 'show' }),
  ];
  for (let i = 0; i < 10; i++)
    for (const other of others) expect(ask(limit, 0, caller('a'), other)).toBeUndefined();
  expect(ask(limit, 0)).toBeUndefined();
});

it('is off at 0', () => {
  const limit = new PreloadLimit();
  for (let i = 0; i < 10; i++) expect(ask(limit, 0, caller('a'), preload, 0)).toBeUndefined();
});

it('remembers who was here last, however many come', () => {
  const limit = new PreloadLimit();
  for (let i = 0; i < 20_000; i++) ask(limit, i, caller(`other ${i}`), preload, 1);
  expect(ask(limit, 20_000, caller('other 19999'), preload, 1)).toBeGreaterThan(0);
  expect(ask(limit, 20_000, caller('other 0'), preload, 1)).toBeUndefined();
});
