import { join } from 'node:path';
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';

/**
 * Tests that wait more than they compute (for timeouts, drains, elections) and whose bounds are wide: two of these
 * files run side by side. What compares latencies, rates or slots runs alone.
 */
const WAITING = [
  'test/contract/*.test.ts',
  'test/e2e/drain.test.ts',
  'test/e2e/faults-{answers,control-plane,nodes,polls,supervision}.test.ts',
  'test/e2e/replicas.test.ts',
  'test/e2e/waiting-line*.test.ts',
];

/** Without the one that floods and must be cut within a time. */
const UNIT = ['test/unit/**/!(hostile-peers).test.ts'];

/** The programs under test start in half the time where an earlier start has compiled them. */
const PROGRAMS = './test/support/compile-programs.ts';

/** Projects run one after the other, as `turn` says, the files of each with so many workers. */
function project(
  name: string,
  turn: number,
  maxWorkers: number,
  files: { include: string[]; exclude?: string[]; isolate?: boolean; globalSetup?: string },
): TestProjectInlineConfiguration {
  return { extends: true, test: { name, ...files, maxWorkers, sequence: { groupOrder: turn } } };
}

export default defineConfig({
  test: {
    reporters: ['default', './test/support/reporter.ts'],
    // Real Envoys, Ollamas and timers share two cores: one file at a time keeps the timings of most honest.
    projects: [
      // Small files without globals of their own: a process for each would cost more than the tests.
      project('unit', 1, 2, { include: UNIT, isolate: false }),
      project('waiting', 2, 2, { include: WAITING, globalSetup: PROGRAMS }),
      project('alone', 3, 1, {
        include: ['test/**/*.test.ts'],
        exclude: [...UNIT, ...WAITING],
        globalSetup: PROGRAMS,
      }),
    ],
    // For the programs that tests start.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules', '.cache', 'compile') },
    // Real processes on a shared machine: what fails once in CI must fail twice to count.
    retry: process.env.CI === 'true' ? 1 : 0,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
