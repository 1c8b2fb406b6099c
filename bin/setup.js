// Plain JavaScript for whatever Node the machine has (18 or newer): brings the dependencies and Node 24, then hands over.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const MINIMUM_NODE = 24;

/** Runs `npm ci` unless every package of the lockfile that is needed lies in node_modules in the locked version. */
export function ensureDependencies({ withDev }) {
  const missing = firstMissingPackage(withDev);
  if (missing === undefined) return;
  process.stderr.write(`warmpath: installing dependencies (${missing} is missing) …\n`);
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  if (!withDev) args.push('--omit=dev');
  const done = spawnSync('npm', args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (done.status === 0) return;
  const why = done.error ? done.error.message : `npm ci ended with ${done.status}`;
  process.stderr.write(
    `warmpath: the dependencies could not be installed: ${why}\n` +
      `  Check that npm reaches its registry and that ${root} is writable, then run: npm ci --ignore-scripts\n`,
  );
  process.exit(1);
}

function firstMissingPackage(withDev) {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (path === '' || entry.optional || entry.devOptional || entry.peer) continue;
    if (entry.dev && !withDev) continue;
    const manifest = join(root, path, 'package.json');
    if (!existsSync(manifest)) return path.replace('node_modules/', '');
    if (JSON.parse(readFileSync(manifest, 'utf8')).version !== entry.version)
      return path.replace('node_modules/', '');
  }
  return findNode() === undefined ? `Node ${MINIMUM_NODE}` : undefined;
}

/** The Node that runs Warmpath: this one where it is new enough, else the one that npm brought. */
export function findNode() {
  if (Number(process.versions.node.split('.')[0]) >= MINIMUM_NODE) return process.execPath;
  const brought = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  return existsSync(brought) ? brought : undefined;
}

/** Runs Node 24 in the foreground, passes signals on, and ends as it ended. */
export function runNode(args, env = process.env) {
  const node = findNode();
  if (node === undefined) {
    process.stderr.write(
      `warmpath: Node ${MINIMUM_NODE} or newer is needed, this is ${process.version}, and npm has none for ` +
        `${process.platform}-${process.arch}.\n  Install it from nodejs.org and run the command again.\n`,
    );
    process.exit(1);
  }
  const child = spawn(node, args, { stdio: 'inherit', env });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`warmpath: ${node} could not be started: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    process.exit(signal === null ? (code ?? 1) : 128 + constants.signals[signal]);
  });
}
