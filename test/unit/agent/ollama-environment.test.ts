import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  listenAddress,
  parseEnvironmentFile,
  parseProcEnvironment,
  parseSystemdEnvironment,
  settingsOf,
} from '../../../src/agent/ollama/environment.ts';
import { findEnvironment } from '../../../src/agent/ollama/find-environment.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { ok, recorded, tools } from './recordings.ts';

const NEVER = new AbortController().signal;

describe("Ollama's environment", () => {
  it('is read from a process, and nothing of it but what is known', () => {
    const text =
      'HOME=/root\0OLLAMA_NUM_PARALLEL=4\0SECRET_TOKEN=abc\0OLLAMA_HOST=0.0.0.0\0OLLAMA_MODELS=/a=b\0';
    expect(parseProcEnvironment(text)).toEqual({
      OLLAMA_NUM_PARALLEL: '4',
      OLLAMA_HOST: '0.0.0.0',
      OLLAMA_MODELS: '/a=b',
    });
  });

  it('is read from what systemd shows, quotes included', () => {
    expect(parseSystemdEnvironment(recorded('systemctl-ollama.txt'))).toEqual({
      OLLAMA_NUM_PARALLEL: '4',
      OLLAMA_HOST: '0.0.0.0:11434',
      OLLAMA_MODELS: '/srv/models',
    });
    expect(
      parseSystemdEnvironment('Environment="OLLAMA_MODELS=/a dir/\\"x\\"" OLLAMA_MAX_QUEUE=9\n'),
    ).toEqual({
      OLLAMA_MODELS: '/a dir/"x"',
      OLLAMA_MAX_QUEUE: '9',
    });
  });

  it('is read from a file', () => {
    const text =
      '# ours\n\nexport OLLAMA_NUM_PARALLEL="2"\nOLLAMA_MAX_QUEUE = 64\r\n; no\nOLLAMA_HOST=\'[::]:1234\'\nAPI_KEY=x';
    expect(parseEnvironmentFile(text)).toEqual({
      OLLAMA_NUM_PARALLEL: '2',
      OLLAMA_MAX_QUEUE: '64',
      OLLAMA_HOST: '[::]:1234',
    });
  });

  it('says only what it says: 0, nonsense and absence are no settings', () => {
    expect(
      settingsOf({ OLLAMA_NUM_PARALLEL: '0', OLLAMA_MAX_QUEUE: '-1', OLLAMA_MAX_LOADED_MODELS: 'two' }),
    ).toEqual({});
    expect(
      settingsOf({ OLLAMA_NUM_PARALLEL: ' "8" ', OLLAMA_MAX_QUEUE: '64', OLLAMA_MAX_LOADED_MODELS: '2' }),
    ).toEqual({
      parallel: 8,
      maxQueue: 64,
      maxLoadedModels: 2,
    });
  });

  it.each([
    [undefined, '127.0.0.1', 11_434],
    ['', '127.0.0.1', 11_434],
    ['0.0.0.0', '0.0.0.0', 11_434],
    ['0.0.0.0:11500', '0.0.0.0', 11_500],
    [':11500', '0.0.0.0', 11_500],
    ['http://gpu1:8080/', 'gpu1', 8080],
    ['https://gpu1', 'gpu1', 443],
    ['[::]:9', '::', 9],
    ['a:b:c', '127.0.0.1', 11_434],
    ['0.0.0.0:99999', '0.0.0.0', 11_434],
  ])('OLLAMA_HOST=%s listens on %s port %i', (text, host, port) => {
    expect(listenAddress(text)).toEqual({ host, port });
  });
});

describe('the Ollama of this machine', () => {
  function process(
    proc: string,
    pid: number,
    comm: string,
    cmdline: readonly string[],
    environ: string,
  ): void {
    const dir = join(proc, String(pid));
    mkdirSync(dir);
    writeFileSync(join(dir, 'comm'), `${comm}\n`);
    writeFileSync(join(dir, 'cmdline'), cmdline.map((part) => `${part}\0`).join(''));
    writeFileSync(join(dir, 'environ'), environ);
  }

  it('is the server on the port asked for, not its runner, not another one', async () => {
    const dir = tempDir();
    process(
      dir.path,
      10,
      'ollama',
      ['/usr/bin/ollama', 'runner'],
      'OLLAMA_NUM_PARALLEL=1\0OLLAMA_HOST=:24001\0',
    );
    process(dir.path, 11, 'bash', ['bash', 'serve'], 'OLLAMA_NUM_PARALLEL=2\0OLLAMA_HOST=:24001\0');
    process(dir.path, 12, 'ollama', ['ollama', 'serve'], 'OLLAMA_NUM_PARALLEL=3\0');
    process(dir.path, 13, 'ollama', ['ollama', 'serve'], 'OLLAMA_NUM_PARALLEL=4\0OLLAMA_HOST=:24001\0');
    const find = (port: number | undefined) =>
      findEnvironment({ run: tools({}).run, port, proc: dir.path, os: 'linux' }, NEVER);
    expect(await find(24_001)).toMatchObject({ env: { OLLAMA_NUM_PARALLEL: '4' }, from: 'process 13' });
    expect(await find(undefined)).toMatchObject({ env: { OLLAMA_NUM_PARALLEL: '3' } });
    expect(await find(24_002)).toBeUndefined();
    dir.remove();
  });

  it("is asked of systemd where its process is another user's", async () => {
    const { run } = tools({ 'systemctl show ollama.service': ok(recorded('systemctl-ollama.txt')) });
    const found = await findEnvironment({ run, port: undefined, proc: '/nowhere', os: 'linux' }, NEVER);
    expect(found).toMatchObject({ env: { OLLAMA_NUM_PARALLEL: '4' }, from: 'the unit ollama.service' });
  });

  it('is not the one of systemd where another port is asked for', async () => {
    const { run } = tools({ 'systemctl show ollama.service': ok(recorded('systemctl-ollama.txt')) });
    const find = (port: number) => findEnvironment({ run, port, proc: '/nowhere', os: 'linux' }, NEVER);
    expect(await find(24_001)).toBeUndefined();
    expect(await find(11_434)).toBeDefined();
  });

  it('is not made up where systemd has no such unit', async () => {
    const { run } = tools({ 'systemctl show ollama.service': ok('Environment=\nLoadState=not-found\n') });
    expect(
      await findEnvironment({ run, port: undefined, proc: '/nowhere', os: 'linux' }, NEVER),
    ).toBeUndefined();
  });

  it('is asked of launchd on a Mac', async () => {
    const { run } = tools({
      '/bin/launchctl getenv OLLAMA_NUM_PARALLEL': ok('2\n'),
      '/bin/launchctl getenv': ok('\n'),
    });
    const found = await findEnvironment({ run, port: undefined, os: 'darwin' }, NEVER);
    expect(found).toEqual({ env: { OLLAMA_NUM_PARALLEL: '2' }, from: 'launchctl' });
  });
});
