import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runDrainEnvoy } from '../../../src/cli/drain-envoy.ts';
import { EXIT } from '../../../src/cli/exit-code.ts';
import { type TempDir, tempDir } from '../../support/temp-dir.ts';
import { FakeAdmin } from '../envoy/supervise/fakes.ts';
import { aFakeIo, type FakeIo } from './fake-io.ts';

let dir: TempDir;
let io: FakeIo;
let admin: FakeAdmin;
beforeEach(() => {
  dir = tempDir();
  io = aFakeIo({ env: { WARMPATH_ENVOY_DRAIN_TIME: '30s' } });
  admin = new FakeAdmin();
});
afterEach(() => dir.remove());

const done = (): string => join(dir.path, 'drained');
async function drainEnvoy(delay: number): Promise<{ ended: Promise<number>; asked: string[] }> {
  const asked: string[] = [];
  const ended = runDrainEnvoy(io, { node: [], stateDir: dir.path, delay, done: done() }, (path) => {
    asked.push(path);
    return admin;
  });
  // Until the configuration is read.
  while (admin.drains === 0) await new Promise(setImmediate);
  return { ended, asked };
}

it('asks Envoy to let go at once, waits for the balancers and for running requests, and leaves a mark', async () => {
  admin.active = 2;
  const { ended, asked } = await drainEnvoy(5_000);
  expect(asked).toEqual([join(dir.path, 'envoy-admin.sock')]);
  await io.clock.advance(20_000);
  expect(existsSync(done())).toBe(false);
  admin.active = 0;
  await io.clock.advance(100);
  expect(await ended).toBe(EXIT.ok);
  expect(existsSync(done())).toBe(true);
  expect(io.err.text).toBe(
    'warmpath: draining Envoy: 2 requests still run\nwarmpath: Envoy may end: no request runs\n',
  );
});

it('waits for the balancers where nothing runs, and for requests no longer than envoy.drainTime', async () => {
  const idle = await drainEnvoy(5_000);
  await io.clock.advance(4_900);
  expect(existsSync(done())).toBe(false);
  admin.active = 1;
  await io.clock.advance(30_100);
  expect(await idle.ended).toBe(EXIT.ok);
  expect(existsSync(done())).toBe(true);
});

it('is content with an Envoy that is gone', async () => {
  admin.active = undefined;
  const { ended } = await drainEnvoy(0);
  expect(await ended).toBe(EXIT.ok);
  expect(io.err.text).toContain('Envoy may end: it does not answer');
  expect(existsSync(done())).toBe(true);
});
