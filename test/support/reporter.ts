import type { Reporter, TestCase, TestModule } from 'vitest/node';

export interface SummaryOptions {
  readonly write?: (line: string) => void;
  /** Whether a skipped test fails the run; default: CI=true. */
  readonly isStrict?: boolean;
}

/** Reasons that begin so are no failure where CI=true: the program is one that few machines have. */
export const ALLOWED_SKIP = '[may be skipped] ';

/**
 * Ends the run with one plain line, `N passed, N failed` (and `, N skipped`), preceded by every test that was tried twice, and
 * every skipped one with its reason. A run in which nothing ran fails; with CI=true a skipped test fails the run too,
 * but for those that need a program few machines have.
 */
export default class SummaryReporter implements Reporter {
  readonly #write: (line: string) => void;
  readonly #isStrict: boolean;

  constructor({ write, isStrict }: SummaryOptions = {}) {
    this.#write = write ?? ((line) => process.stdout.write(`${line}\n`));
    this.#isStrict = isStrict ?? process.env.CI === 'true';
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string): number => tests.filter((test) => test.result().state === state).length;
    const brokenFiles = modules.filter((module) => module.errors().length > 0).length;
    const skipped = tests.filter((test) => test.result().state === 'skipped');
    const [passed, failed] = [count('passed'), count('failed') + brokenFiles + errors.length];
    for (const test of tests)
      if (isFlaky(test)) this.#write(`passed at the second try only: ${test.fullName}`);
    for (const test of skipped) this.#write(`skipped: ${test.fullName}: ${reasonOf(test)}`);
    const refused = skipped.filter((test) => !reasonOf(test).startsWith(ALLOWED_SKIP));
    if (this.#isStrict && refused.length > 0) this.#write('CI=true: a skipped test counts as a failure');
    if (passed + failed === 0) this.#write('no test ran');
    const last = skipped.length > 0 ? `, ${skipped.length} skipped` : '';
    this.#write(`${passed} passed, ${failed} failed${last}`);
    if (passed + failed === 0 || (this.#isStrict && refused.length > 0)) process.exitCode = 1;
  }
}

function isFlaky(test: TestCase): boolean {
  return test.diagnostic()?.flaky === true;
}

function reasonOf(test: TestCase): string {
  const result = test.result();
  return (result.state === 'skipped' ? result.note : undefined) ?? 'no reason given';
}
