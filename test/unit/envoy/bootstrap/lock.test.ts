import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { withLock } from '../../../../src/envoy/bootstrap/lock.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'warmpath-lock-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const signal = new AbortController().signal;

/** Advances until `done` settles: between two steps the file system answers in its own time. */
async function untilDone<T>(clock: FakeClock, done: Promise<T>): Promise<T> {
  let settled = false;
  const watch = done.finally(() => {
    settled = true;
  });
  while (!settled) await clock.advance(200);
  return watch;
}

it('lets one in at a time', async () => {
  const clock = new FakeClock();
  const path = join(dir, 'lock');
  const events: string[] = [];
  const release = Promise.withResolvers<void>();
  const taken = Promise.withResolvers<void>();
  const first = withLock(
    path,
    clock,
    async () => {
      events.push('first in');
      taken.resolve();
      await release.promise;
      events.push('first out');
    },
    signal,
  );
  await taken.promise;
  const second = withLock(path, clock, async () => void events.push('second in'), signal);
  await clock.advance(1_000);
  expect(events).toEqual(['first in']);
  release.resolve();
  await first;
  await untilDone(clock, second);
  expect(events).toEqual(['first in', 'first out', 'second in']);
  expect(await readdir(dir)).toEqual([]);
});

it('frees the lock when the work fails', async () => {
  const path = join(dir, 'lock');
  const failing = withLock(path, new FakeClock(), () => Promise.reject(new Error('boom')), signal);
  await expect(failing).rejects.toThrow('boom');
  expect(await readdir(dir)).toEqual([]);
});

it('gives up when told to', async () => {
  const clock = new FakeClock();
  const path = join(dir, 'lock');
  await writeFile(path, String(process.pid));
  const stop = new AbortController();
  const waiting = withLock(path, clock, () => Promise.resolve('in'), stop.signal);
  const failed = expect(waiting).rejects.toThrow('enough');
  stop.abort(new Error('enough'));
  await untilDone(clock, failed);
});
