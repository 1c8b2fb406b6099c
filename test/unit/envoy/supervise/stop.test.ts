import { beforeEach, expect, it } from 'vitest';
import type { EnvoyEvent } from '../../../../src/envoy/supervise/run-envoy.ts';
import { stopEnvoy } from '../../../../src/envoy/supervise/stop.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { FakeAdmin, FakeChild } from './fakes.ts';

let clock: FakeClock;
let admin: FakeAdmin;
let killer: AbortController;
let events: EnvoyEvent[];
beforeEach(() => {
  clock = new FakeClock();
  admin = new FakeAdmin();
  killer = new AbortController();
  events = [];
});

const stop = (child: FakeChild) => {
  const onEvent = (event: EnvoyEvent) => void events.push(event);
  return stopEnvoy(child, { admin, clock, drainMs: 30_000, killSignal: killer.signal, onEvent });
};

it('ends an idle Envoy at once', async () => {
  const child = new FakeChild(1);
  await stop(child);
  expect(child.signals).toEqual(['SIGTERM']);
  expect(admin.drains).toBe(1);
  expect(clock.now()).toBe(0);
});

it('waits until running requests have ended', async () => {
  const child = new FakeChild(1);
  admin.active = 3;
  const stopped = stop(child);
  await clock.advance(20_000);
  expect(child.signals).toEqual([]);
  admin.active = 0;
  await clock.advance(100);
  await stopped;
  expect(child.signals).toEqual(['SIGTERM']);
  expect(events).toEqual([{ kind: 'draining', activeRequests: 3 }]);
});

it('waits no longer than it may', async () => {
  const child = new FakeChild(1);
  admin.active = 3;
  const stopped = stop(child);
  await clock.advance(29_900);
  expect(child.signals).toEqual([]);
  await clock.advance(200);
  await stopped;
  expect(child.signals).toEqual(['SIGTERM']);
});

it('kills one that does not listen', async () => {
  const child = new FakeChild(1, ['SIGKILL']);
  const stopped = stop(child);
  await clock.advance(1_900);
  expect(child.signals).toEqual(['SIGTERM']);
  await clock.advance(200);
  await stopped;
  expect(child.signals).toEqual(['SIGTERM', 'SIGKILL']);
});

it('ends at once at the second signal', async () => {
  const child = new FakeChild(1);
  admin.active = 3;
  const stopped = stop(child);
  await clock.advance(500);
  killer.abort();
  await stopped;
  expect(child.signals).toEqual(['SIGKILL']);
  expect(clock.now()).toBe(500);
});

it('does not wait for an Envoy that does not say what it does', async () => {
  const child = new FakeChild(1);
  admin.active = undefined;
  await stop(child);
  expect(child.signals).toEqual(['SIGTERM']);
});

it('is content with one that ended meanwhile', async () => {
  const child = new FakeChild(1);
  admin.active = 3;
  const stopped = stop(child);
  await clock.advance(500);
  child.exit(0);
  await stopped;
  expect(child.signals).toEqual([]);
});
