import { expect, it } from 'vitest';
import { StoreError } from '../../../src/store/contract.ts';
import { remedyOf } from '../../../src/store/redis/remedy.ts';

const FIRST_TIME = { isTls: false, wasUp: false };

it.each([
  ['Redis: WRONGPASS invalid username-password pair or user is disabled.', 'store.passwordFile'],
  ['Redis: NOAUTH Authentication required.', 'store.passwordFile'],
  ['Redis: NOPERM this user has no permissions', 'docs/redis.md'],
  ['Redis: READONLY You can’t write against a read only replica.', 'name the master'],
  ['Redis: ERR DB index is out of range', 'number in "store.url"'],
  ['Redis: connect ECONNREFUSED 127.0.0.1:6379', 'Is Redis running there'],
  ['Redis: getaddrinfo ENOTFOUND cache', 'name of the host'],
  ['Redis: connect ETIMEDOUT', 'firewall'],
  ['Redis: read ECONNRESET', 'rediss://'],
])('of "%s" says what to do', (message, remedy) => {
  expect(remedyOf(new StoreError('disconnected', message), FIRST_TIME)?.text).toContain(remedy);
});

it.each([
  ['Redis: connect ETIMEDOUT', 'Does it speak TLS'],
  ['Redis: read ECONNRESET', 'Does it speak TLS'],
  ['Redis: self-signed certificate', 'store.tlsCa'],
  ['Redis: Hostname/IP does not match certificate’s altnames', 'store.tlsCa'],
])('with TLS of "%s" says what to do', (message, remedy) => {
  expect(remedyOf(new StoreError('disconnected', message), { isTls: true, wasUp: false })?.text).toContain(
    remedy,
  );
});

it.each([true, false])('asks nobody about TLS where it has worked before (TLS: %s)', (isTls) => {
  const cut = new StoreError('disconnected', 'Redis: the connection was closed');
  expect(remedyOf(cut, { isTls, wasUp: true })).toBeUndefined();
});

it('calls lasting only what somebody has to put right', () => {
  const isLasting = (message: string) => remedyOf(new StoreError('refused', message), FIRST_TIME)?.isLasting;
  expect(isLasting('Redis: WRONGPASS')).toBe(true);
  expect(isLasting('Redis: connect ECONNREFUSED')).toBe(false);
});
