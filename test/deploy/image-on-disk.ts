import { execFileSync } from 'node:child_process';
import { chmodSync, constants, copyFileSync, cpSync, mkdirSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { type SpawnedProcess, spawnProcess } from '../support/spawn-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import type { Stage } from './dockerfile.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const USER = 10001;

/**
 * What the last stage of the control plane's Dockerfile holds, in a folder: the files that it copies, compiled sources,
 * production packages, and nothing else. As root the programs run as the image's user, who can write to `state` alone.
 */
export class ImageOnDisk {
  readonly state: string;
  readonly #dir = tempDir('wp-image-');
  readonly #app: string;
  readonly #node: string;
  readonly #processes: SpawnedProcess[] = [];

  constructor(stage: Stage) {
    const dir = this.#dir.path;
    this.state = join(dir, 'state');
    this.#app = join(dir, 'app');
    this.#node = join(dir, 'bin', 'node');
    for (const folder of [this.state, this.#app, join(dir, 'bin')]) mkdirSync(folder);
    // Where the machine's own Node lies, another user may not be allowed to look.
    copyFileSync(process.execPath, this.#node, constants.COPYFILE_FICLONE);
    for (const { from, sources, target } of stage.copies) {
      const to = join(this.#app, target);
      if (from === 'dependencies') this.#copyPackages(to);
      else if (from === 'build') compile(to);
      else
        for (const source of sources)
          cpSync(join(ROOT, source), destination(to, target, source), { recursive: true });
    }
    chmodSync(dir, 0o755);
    execFileSync('chmod', ['-R', 'a=rX', this.#app]);
    if (process.getuid?.() === 0) execFileSync('chown', ['-R', `${USER}:${USER}`, this.state]);
  }

  /** Runs a command of the image, its paths changed to those here. Of this machine's environment nothing is left. */
  run(command: readonly string[], env: Readonly<Record<string, string>>): SpawnedProcess {
    const words = command.map((word) => this.#inHere(word));
    const user = ['--reuid', String(USER), '--regid', String(USER), '--clear-groups'];
    const [program = '', ...args] = process.getuid?.() === 0 ? ['setpriv', ...user, '--', ...words] : words;
    const none = Object.fromEntries(Object.keys(process.env).map((name) => [name, undefined]));
    const child = spawnProcess(program, args, {
      cwd: this.#app,
      env: {
        ...none,
        PATH: `${join(this.#dir.path, 'bin')}:/usr/bin:/bin`,
        // There is no place for either.
        HOME: '/nonexistent',
        TMPDIR: '/nonexistent',
        ...Object.fromEntries(Object.entries(env).map(([name, value]) => [name, this.#inHere(value)])),
      },
    });
    this.#processes.push(child);
    return child;
  }

  /** Puts a program on the image's PATH. */
  add(name: string, path: string): void {
    copyFileSync(path, join(this.#dir.path, 'bin', name), constants.COPYFILE_FICLONE);
    chmodSync(join(this.#dir.path, 'bin', name), 0o755);
  }

  addConfig(folder: string): void {
    cpSync(folder, join(this.#dir.path, 'config'), { recursive: true });
  }

  async close(): Promise<void> {
    await Promise.all(this.#processes.map((each) => each.stop(2_000)));
    this.#dir.remove();
  }

  #inHere(text: string): string {
    return text
      .replaceAll('/app/', `${this.#app}/`)
      .replaceAll('/var/lib/warmpath', this.state)
      .replaceAll('/etc/warmpath', join(this.#dir.path, 'config'))
      .replaceAll('/usr/local/bin/', `${join(this.#dir.path, 'bin')}/`);
  }

  /** As `npm ci --omit=dev --omit=optional` leaves them. */
  #copyPackages(to: string): void {
    const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
    const entries = Object.entries<{ dev?: boolean; optional?: boolean; devOptional?: boolean }>(
      lock.packages,
    );
    for (const [path, { dev, optional, devOptional }] of entries) {
      if (path === '' || dev || optional || devOptional) continue;
      // Packages inside of others have entries of their own; what only compilers and people read is most of what there is.
      const filter = (source: string): boolean =>
        basename(source) !== 'node_modules' && !/\.(?:d\.[cm]?ts|map|md)$/.test(source);
      cpSync(join(ROOT, path), join(to, path.slice('node_modules/'.length)), { recursive: true, filter });
    }
  }
}

/** As the stage `build` does, but for the types, which another test checks. */
function compile(to: string): void {
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--noCheck', '--outDir', to], {
    cwd: ROOT,
  });
}

function destination(to: string, target: string, source: string): string {
  return target.endsWith('/') ? join(to, basename(source)) : to;
}
