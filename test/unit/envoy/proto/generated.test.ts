import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { describeReal } from '../../../support/require-real.ts';

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
const BIN = join(ROOT, 'node_modules', '.bin');
const buf = join(BIN, 'buf');
const program = {
  name: 'buf',
  path: existsSync(buf) ? buf : undefined,
  missing: 'node_modules/.bin/buf is missing: run npm ci with development dependencies',
};

function run(...args: string[]): void {
  execFileSync(buf, args, {
    cwd: ROOT,
    env: { ...process.env, PATH: `${BIN}:${process.env.PATH}` },
    stdio: 'pipe',
  });
}

function contents(dir: string): Record<string, string> {
  const names = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  return Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(dir, name), 'utf8')]));
}

describeReal(program, 'protos', () => {
  it('pass the linter and build without the network', () => {
    run('lint');
    run('build');
  });

  it('give exactly the types that are committed', () => {
    const out = mkdtempSync(join(tmpdir(), 'warmpath-gen-'));
    try {
      run('generate', '--output', out);
      expect(contents(join(out, 'src/envoy/gen'))).toEqual(contents(join(ROOT, 'src/envoy/gen')));
    } finally {
      rmSync(out, { recursive: true, force: true });
    }
  });
});
