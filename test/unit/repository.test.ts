import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const run = promisify(execFile);

/** Standard output and error of a tool that ended with an error; empty where all is well. */
async function complaints(script: string, args: string[]): Promise<string> {
  try {
    await run(process.execPath, [join(root, 'node_modules', script), ...args], {
      cwd: root,
      maxBuffer: 1 << 24,
    });
    return '';
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }; // as execFile rejects
    return `${stdout}${stderr}`;
  }
}

describe('the repository', () => {
  it('passes the type checker', async () => {
    expect(await complaints('typescript/bin/tsc', ['--noEmit'])).toBe('');
  }, 120_000);

  it('passes the linter and is formatted', async () => {
    expect(await complaints('@biomejs/biome/bin/biome', ['ci', '--error-on-warnings', '.'])).toBe('');
  }, 60_000);

  it('passes buf lint and buf build', async () => {
    expect(await complaints('@bufbuild/buf/bin/buf', ['lint'])).toBe('');
    expect(await complaints('@bufbuild/buf/bin/buf', ['build'])).toBe('');
  }, 60_000);

  it('names no registry host in the lockfile, and no package with an install script', () => {
    const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');
    expect(lock).not.toMatch(/"resolved"/);
    const scripted = Object.entries<{ hasInstallScript?: boolean; optional?: boolean }>(
      JSON.parse(lock).packages,
    )
      .filter(([, entry]) => entry.hasInstallScript && !entry.optional)
      .map(([path]) => path);
    // They are installed with --ignore-scripts and work without theirs.
    expect(scripted).toEqual(scripted.filter((path) => /protobufjs|@bufbuild/.test(path)));
  });
});
