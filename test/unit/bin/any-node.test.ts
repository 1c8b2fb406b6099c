import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { VERSION } from '../../../src/version.ts';
import { spawnProcess } from '../../support/spawn-process.ts';

const WARMPATH = fileURLToPath(new URL('../../../bin/warmpath.js', import.meta.url));

/** The machine's own Node where it is older than what Warmpath runs on, else this one. */
const node =
  ['/usr/bin/node', '/usr/local/bin/node'].find((path) => {
    try {
      return Number(/\d+/.exec(execFileSync(path, ['--version'], { encoding: 'utf8' }))?.[0]) < 24;
    } catch {
      return false;
    }
  }) ?? process.execPath;

describe('whatever Node the machine has, the program runs on Node 24', () => {
  const run = (...args: string[]) => spawnProcess(node, [WARMPATH, ...args]);

  it('with its output', async () => {
    const program = run('--version');
    expect(await program.exited).toEqual({ code: 0, signal: null });
    expect(program.output).toBe(`${VERSION}\n`);
  });

  it('with its exit code', async () => {
    expect(await run('check', '/nowhere/warmpath.yaml').exited).toEqual({ code: 1, signal: null });
    expect(await run('nonsense').exited).toEqual({ code: 2, signal: null });
  });

  it('with its signals', async () => {
    const program = run('status', '--watch', '--admin', '127.0.0.1:1');
    await program.waitForOutput(/no Warmpath answers/);
    program.kill('SIGTERM');
    expect(await program.exited).toEqual({ code: 0, signal: null });
  });
});
