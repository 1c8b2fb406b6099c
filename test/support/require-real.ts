import { describe, it, type TestContext } from 'vitest';
import type { RealProgram } from './find-program.ts';
import { ALLOWED_SKIP } from './reporter.ts';

/**
 * Declares tests that need a real program. Where it is missing, one test says so: skipped with the reason, but failing
 * when CI=true, because a green run must mean that everything was tried.
 */
export function describeReal(program: RealProgram, title: string, body: (path: string) => void): void {
  const { path } = program;
  if (path !== undefined) {
    describe(title, () => body(path));
    return;
  }
  describe(title, () => {
    it(`needs ${program.name}`, (context) => {
      requireReal(context, program);
    });
  });
}

/** Inside one test: the program's path, or the test is skipped (with CI=true: fails). */
export function requireReal(context: Pick<TestContext, 'skip'>, program: RealProgram): string {
  if (program.path !== undefined) return program.path;
  if (program.mayLack === true) return context.skip(`${ALLOWED_SKIP}${program.missing}`);
  if (process.env.CI === 'true') throw new Error(program.missing);
  return context.skip(program.missing);
}
