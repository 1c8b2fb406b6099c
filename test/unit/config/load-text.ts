import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LoadedConfig, type LoadOptions, loadConfig } from '../../../src/config/load.ts';
import { ConfigError } from '../../../src/config/problem.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** Loads `text` as a file named warmpath.yaml, on a machine without addresses of its own. */
export async function loadText(
  text: string | Buffer,
  options: Partial<LoadOptions> = {},
): Promise<LoadedConfig> {
  const dir = tempDir();
  try {
    const file = join(dir.path, 'warmpath.yaml');
    writeFileSync(file, text);
    return await loadConfig({ file, env: { HOME: '/home/me' }, localIps: [], ...options });
  } finally {
    dir.remove();
  }
}

/** What is wrong, one line each. */
export async function problemsOf(work: Promise<unknown>): Promise<readonly string[]> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
  return [];
}

/** How a file names a variable of the environment. */
export function variable(name: string): string {
  return `$\{${name}}`;
}
