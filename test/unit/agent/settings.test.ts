import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type AgentFlags, addAgentOptions } from '../../../src/cli/agent-options.ts';
import { AgentFlagsError, agentSettings, nodeName } from '../../../src/cli/agent-settings.ts';
import { type TempDir, tempDir } from '../../support/temp-dir.ts';

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
});
afterEach(() => {
  dir.remove();
  vi.unstubAllEnvs();
});

function flagsOf(...args: string[]): AgentFlags {
  return addAgentOptions(new Command()).exitOverride().parse(args, { from: 'user' }).opts<AgentFlags>();
}
const settingsOf = (args: string[], env: Record<string, string> = {}) =>
  agentSettings(flagsOf(...args), env, 'gpu1.lan');

async function problemsOf(...args: string[]): Promise<readonly string[]> {
  const error = await settingsOf(args).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(AgentFlagsError);
  return (error as AgentFlagsError).problems; // just checked
}

describe("the agent's flags", () => {
  it('have defaults for all but the control plane', async () => {
    const settings = await settingsOf(['--to', 'http://a:9412'], {
      STATE_DIRECTORY: '/var/lib/warmpath-agent',
    });
    expect(settings).toMatchObject({
      node: 'gpu1',
      url: undefined,
      joinToken: undefined,
      intervalMs: 2_000,
      stateDir: '/var/lib/warmpath-agent',
      maintenance: undefined,
      ownerHours: [],
      gpus: undefined,
    });
    expect((await settingsOf(['--to', 'http://a:1'], { XDG_STATE_HOME: '/x' })).stateDir).toBe(
      '/x/warmpath-agent',
    );
  });

  it('name control planes one by one or in a list, also in the environment', async () => {
    const origins = async (...args: string[]) => (await settingsOf(args)).to.map(({ origin }) => origin);
    expect(await origins('--to', 'http://a:9412', '--to', 'https://b:9412, http://[::1]:9412')).toEqual([
      'http://a:9412',
      'https://b:9412',
      'http://[::1]:9412',
    ]);
    vi.stubEnv('WARMPATH_AGENT_TO', 'http://c:9412,http://d:9412');
    expect(await origins()).toEqual(['http://c:9412', 'http://d:9412']);
  });

  it('take all that a node may want to say', async () => {
    const settings = await settingsOf([
      '--to',
      'http://a:1',
      '--node',
      'rig',
      '--url',
      'http://10.0.0.11',
      '--interval',
      '500ms',
      '--label',
      'zone=a=b',
      '--parallel',
      '4',
      '--max-loaded',
      '2',
      '--max-queue',
      '9',
      '--models-dir',
      '/m',
      '--gpus',
      '0,GPU-aaaa',
      '--maintenance',
      '--owner-hours',
      'Sun 22:00-02:00',
    ]);
    expect(settings).toMatchObject({
      node: 'rig',
      url: 'http://10.0.0.11:11434',
      intervalMs: 500,
      labels: { zone: 'a=b' },
      ollama: { parallel: 4, maxLoadedModels: 2, maxQueue: 9 },
      modelsDir: '/m',
      gpus: { nvidia: ['0', 'GPU-aaaa'] },
      maintenance: '',
      ownerHours: [{ from: 9960, to: 120 }],
    });
    expect((await settingsOf(['--to', 'http://a:1', '--maintenance', 'new fans'])).maintenance).toBe(
      'new fans',
    );
  });

  it('read the join token from a flag, a file or the environment', async () => {
    const file = join(dir.path, 'token');
    writeFileSync(file, 'token-in-a-file-0123\n');
    const token = async (args: string[], env = {}) =>
      (await settingsOf(['--to', 'http://a:1', ...args], env)).joinToken;
    expect(await token(['--join-token-file', file])).toBe('token-in-a-file-0123');
    expect(await token(['--join-token', 'token-in-a-flag-0123'])).toBe('token-in-a-flag-0123');
    expect(await token([], { WARMPATH_JOIN_TOKEN: 'token-in-the-env-0123' })).toBe('token-in-the-env-0123');
    expect(await token([], { WARMPATH_JOIN_TOKEN: '' })).toBeUndefined();
  });

  it('are refused all at once, each with what to write instead', async () => {
    expect(
      await problemsOf(
        '--url',
        'http://169.254.169.254',
        '--interval',
        '2',
        '--join-token',
        'short',
        '--label',
        'x',
        '--gpus',
        '0;1',
        '--node',
        'a b',
        '--owner-hours',
        'never',
        '--ca',
        '/nonexistent',
        '--ollama-env',
        '/nonexistent',
      ),
    ).toEqual([
      expect.stringContaining('--to is missing'),
      expect.stringContaining('--node must be'),
      expect.stringContaining('--url '),
      expect.stringContaining('the join token must be 16 or more'),
      expect.stringContaining('--interval must be a duration'),
      '--ca /nonexistent does not exist',
      '--label must be KEY=VALUE',
      expect.stringContaining('owner hours "never"'),
      expect.stringContaining('--gpus must be a list'),
      '--ollama-env /nonexistent does not exist',
    ]);
  });

  it('bear no more than a report does', async () => {
    expect(await problemsOf('--to', 'http://a:1', '--parallel', '4097', '--max-queue', '1000001')).toEqual([
      '--parallel must be 4096 at most',
      '--max-queue must be 1000000 at most',
    ]);
  });

  it.each([
    ['gateway:9412', 'is no URL'],
    ['ftp://a:1', 'is no URL'],
    ['http://u:secret-password@a:1', 'no user or password'],
    ['http://a:1/agent?x=secret', 'scheme, host and port only'],
  ])('do not take %s as a control plane, and repeat no secret', async (to, words) => {
    const problems = await problemsOf('--to', to);
    expect(problems).toEqual([expect.stringContaining(words)]);
    expect(problems.join()).not.toContain('secret');
  });

  it('may leave the control plane to a search, alone or beside others', async () => {
    expect((await settingsOf(['--to', 'mdns'])).to).toEqual([]);
    expect((await settingsOf(['--to', 'mdns,http://a:1'])).to).toEqual([new URL('http://a:1')]);
  });

  it('need no control plane to have one look', async () => {
    expect((await settingsOf(['--once'])).to).toEqual([]);
  });
});

describe('the name of a node', () => {
  it.each([
    ['gpu1.local', 'gpu1'],
    ['Bens MacBook Pro', 'Bens-MacBook-Pro'],
    ["Ben's-Rig", 'Ben-s-Rig'],
    ['DESKTOP-1234', 'DESKTOP-1234'],
  ])('of the host %s is %s', (host, name) => {
    expect(nodeName(undefined, host)).toBe(name);
  });

  it('has to be given where the host has none', () => {
    expect(() => nodeName(undefined, '')).toThrow('give one with --node');
    expect(() => nodeName(undefined, '机器')).toThrow('give one with --node');
  });
});
