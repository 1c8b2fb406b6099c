import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type SpawnedProcess, spawnProcess } from '../../support/spawn-process.ts';
import { tempDir } from '../../support/temp-dir.ts';

const BIN = fileURLToPath(new URL('../../../bin', import.meta.url));

type Entry = Readonly<Record<string, unknown>>;

/** A checkout with the real bin/, a lockfile of its own, and an `npm` that only notes how it was called. */
export class Checkout {
  readonly #dir = tempDir();

  constructor(packages: Readonly<Record<string, Entry>>) {
    cpSync(BIN, join(this.#dir.path, 'bin'), { recursive: true });
    this.write('package.json', '{"type":"module"}');
    this.write('package-lock.json', JSON.stringify({ packages: { '': { name: 'warmpath' }, ...packages } }));
    this.npm(0);
  }

  write(path: string, text: string): this {
    const file = join(this.#dir.path, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    return this;
  }

  /** Puts a package into node_modules. */
  installed(name: string, version: string): this {
    return this.write(`node_modules/${name}/package.json`, JSON.stringify({ name, version }));
  }

  /** npm ends with this code. */
  npm(code: number): this {
    this.write('tools/npm', `#!/bin/sh\necho "$@" >> "${this.#dir.path}/npm.log"\nexit ${code}\n`);
    chmodSync(join(this.#dir.path, 'tools', 'npm'), 0o755);
    return this;
  }

  /** How npm was called, one line each. */
  get npmCalls(): string[] {
    const file = join(this.#dir.path, 'npm.log');
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  }

  run(script: 'task' | 'warmpath', args: readonly string[] = [], node = process.execPath): SpawnedProcess {
    return spawnProcess(node, [join(this.#dir.path, 'bin', `${script}.js`), ...args], {
      env: { PATH: `${join(this.#dir.path, 'tools')}:${process.env.PATH}` },
    });
  }

  remove(): void {
    this.#dir.remove();
  }
}
