import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import type { TestProject } from 'vitest/node';

const SOURCES = resolve(import.meta.dirname, '../../src');
const PROGRAMS = ['main.ts', 'cli/up.ts', 'cli/serve.ts'].map((file) => resolve(SOURCES, file));

/**
 * Loads the programs under test once, so that they are in the cache of compiled code that NODE_COMPILE_CACHE names:
 * Node writes it as a process ends by itself, and most of those that tests start are killed.
 */
export default function compilePrograms(project: TestProject): void {
  const env = { ...process.env, ...project.config.env };
  const [main = '', ...parts] = PROGRAMS;
  const imports = parts.flatMap((file) => ['--import', file]);
  // A program that cannot be loaded fails the tests that start it, and says why there.
  spawnSync(process.execPath, [...imports, main, '--version'], { env, stdio: 'ignore', timeout: 60_000 });
}
