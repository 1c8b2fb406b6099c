import { afterEach, describe, expect, it } from 'vitest';
import { Checkout } from './checkout.ts';

const made: Checkout[] = [];
afterEach(() => {
  for (const checkout of made.splice(0)) checkout.remove();
});

/** Says what it was given and ends with 7. */
const MAIN = `console.log('main', ...process.argv.slice(2)); process.exit(7);`;

function checkout(packages: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {}): Checkout {
  const one = new Checkout(packages).write('src/main.ts', MAIN);
  made.push(one);
  return one;
}

const A = { 'node_modules/a': { version: '1.0.0' } };

describe('dependencies', () => {
  it('that are all there in the locked version are left alone', async () => {
    const one = checkout(A).installed('a', '1.0.0');
    await one.run('warmpath').exited;
    expect(one.npmCalls).toEqual([]);
  });

  it.each([
    { what: 'a missing package', prepare: (one: Checkout) => one },
    { what: 'another version', prepare: (one: Checkout) => one.installed('a', '1.0.1') },
  ])('$what has them installed, without the development ones', async ({ prepare }) => {
    const one = prepare(checkout(A));
    const run = one.run('warmpath');
    await run.exited;
    expect(one.npmCalls).toEqual(['ci --ignore-scripts --no-audit --no-fund --loglevel=error --omit=dev']);
    expect(run.output).toContain('installing dependencies (a is missing)');
    expect(run.output).toContain('main');
  });

  it.each([{ kind: 'optional' }, { kind: 'devOptional' }, { kind: 'peer' }, { kind: 'dev' }])(
    'a missing $kind package is nothing that a user needs',
    async ({ kind }) => {
      const one = checkout({ 'node_modules/x': { version: '1.0.0', [kind]: true } });
      await one.run('warmpath').exited;
      expect(one.npmCalls).toEqual([]);
    },
  );

  it('for development are needed by tasks', async () => {
    const one = checkout({ 'node_modules/x': { version: '1.0.0', dev: true } });
    await one.run('task', ['lint']).exited;
    expect(one.npmCalls).toEqual(['ci --ignore-scripts --no-audit --no-fund --loglevel=error']);
  });

  it('that cannot be installed end the program with the remedy', async () => {
    const one = checkout(A).npm(1);
    const run = one.run('warmpath');
    expect(await run.exited).toEqual({ code: 1, signal: null });
    expect(run.output).toContain('the dependencies could not be installed: npm ci ended with 1');
    expect(run.output).toContain('npm ci --ignore-scripts');
    expect(run.output).not.toContain('main');
  });
});

describe('the program', () => {
  it('gets its arguments, and its exit code is ours', async () => {
    const run = checkout().run('warmpath', ['check', 'a b']);
    expect(await run.exited).toEqual({ code: 7, signal: null });
    expect(run.output).toBe('main check a b\n');
  });

  it('is dist/main.js in a built image', async () => {
    const one = new Checkout({}).write('dist/main.js', MAIN);
    made.push(one);
    const run = one.run('warmpath', ['up']);
    expect(await run.exited).toMatchObject({ code: 7 });
    expect(run.output).toBe('main up\n');
  });
});

describe('a task', () => {
  it.each([[], ['nonsense'], ['constructor']])(
    'that does not exist (%s) is a usage error',
    async (...args) => {
      const run = checkout().run('task', args);
      expect(await run.exited).toEqual({ code: 2, signal: null });
      expect(run.output).toBe('usage: task.js test|bench|conformance|lint|build|proto [arguments]\n');
    },
  );

  it('gets further arguments, and its exit code is ours', async () => {
    const one = checkout().write('node_modules/@biomejs/biome/bin/biome', MAIN);
    const run = one.run('task', ['lint', '--write']);
    expect(await run.exited).toEqual({ code: 7, signal: null });
    expect(run.output).toBe('main check . --write\n');
  });

  const SLEEPER = `process.on('SIGINT', () => process.exit(5)); console.log('here'); setInterval(() => {}, 1000);`;

  it.each([
    { what: 'one that handles it ends as it likes', signal: 'SIGINT', want: 5 },
    { what: 'one that does not dies of it', signal: 'SIGHUP', want: 128 + 1 },
    { what: 'one that does not dies of it', signal: 'SIGTERM', want: 128 + 15 },
  ] as const)('hears $signal: $what', async ({ signal, want }) => {
    const one = checkout().write('test/bench/run.ts', SLEEPER);
    const run = one.run('task', ['bench']);
    await run.waitForOutput(/here/);
    run.kill(signal);
    expect(await run.exited).toEqual({ code: want, signal: null });
  });
});
