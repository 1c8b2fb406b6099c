import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { spawnProcess } from '../../support/spawn-process.ts';
import { tempDir } from '../../support/temp-dir.ts';

const root = resolve(import.meta.dirname, '../../..');
const dir = tempDir();
afterAll(() => dir.remove());

/** Runs Vitest on one file with this content, with our reporter alone. */
async function run(
  name: string,
  tests: string,
  env: Record<string, string>,
): Promise<{ code: number | null; lines: string[] }> {
  const folder = join(dir.path, name);
  mkdirSync(folder);
  writeFileSync(
    join(folder, 'a.test.mjs'),
    `import { it, expect } from '${root}/node_modules/vitest/dist/index.js';\n${tests}`,
  );
  const child = spawnProcess(
    process.execPath,
    [
      join(root, 'node_modules/vitest/vitest.mjs'),
      'run',
      '--root',
      folder,
      '--reporter',
      join(root, 'test/support/reporter.ts'),
    ],
    { env: { CI: undefined, VITEST: undefined, NO_COLOR: '1', ...env } },
  );
  const { code } = await child.exited;
  return { code, lines: child.output.trim().split('\n') };
}

const PASSES = "it('a', () => {});\n";
const FAILS = "it('b', () => { expect(1).toBe(2); });\n";
const SKIPS = "it('c', (context) => context.skip('no Envoy here'));\n";
const LACKS = "it('d', (context) => context.skip('[may be skipped] no API server here'));\n";

it('names a test that failed and then passed', async () => {
  const flaky = "let tries = 0;\nit('e', { retry: 1 }, () => { expect((tries += 1)).toBe(2); });\n";
  const { code, lines } = await run('flaky', PASSES + flaky, {});
  expect([lines, code]).toEqual([['passed at the second try only: e', '2 passed, 0 failed'], 0]);
});

describe('the last line of a run', () => {
  it.each([
    { name: 'passed', tests: PASSES, env: {}, code: 0, last: '1 passed, 0 failed' },
    { name: 'failed', tests: PASSES + FAILS, env: {}, code: 1, last: '1 passed, 1 failed' },
    { name: 'skipped', tests: PASSES + SKIPS, env: {}, code: 0, last: '1 passed, 0 failed, 1 skipped' },
    {
      name: 'skipped-allowed-ci',
      tests: PASSES + LACKS,
      env: { CI: 'true' },
      code: 0,
      last: '1 passed, 0 failed, 1 skipped',
    },
    {
      name: 'skipped-ci',
      tests: PASSES + SKIPS,
      env: { CI: 'true' },
      code: 1,
      last: '1 passed, 0 failed, 1 skipped',
    },
    { name: 'nothing', tests: SKIPS, env: {}, code: 1, last: '0 passed, 0 failed, 1 skipped' },
    { name: 'broken', tests: 'throw new Error("x");', env: {}, code: 1, last: '0 passed, 1 failed' },
  ])('$name: "$last", exit $code', async ({ name, tests, env, code, last }) => {
    const result = await run(name, tests, env);
    expect([result.lines.at(-1), result.code]).toEqual([last, code]);
    if (last.includes('skipped')) {
      const line = tests.includes(LACKS)
        ? 'skipped: d: [may be skipped] no API server here'
        : 'skipped: c: no Envoy here';
      expect(result.lines).toContain(line);
    }
  });
});
