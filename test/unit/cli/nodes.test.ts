import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { spawnProcess } from '../../support/spawn-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { type NodesServer, type NodesServerOptions, startNodesServer } from '../api/nodes-server.ts';

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const TOKEN = '0123456789abcdef';
let server: NodesServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function serve(options: NodesServerOptions = {}) {
  const started = await startNodesServer(options);
  server = started;
  /** Runs `warmpath nodes …` as a user does. */
  const run = async (args: readonly string[], env: Record<string, string> = {}) => {
    const all = [MAIN, 'nodes', ...args, '--admin', started.url];
    const child = spawnProcess(process.execPath, all, {
      env: {
        NO_COLOR: '1',
        COLUMNS: '140',
        WARMPATH_ADMIN_TOKEN: undefined,
        WARMPATH_CONFIG: undefined,
        ...env,
      },
    });
    const { code } = await child.exited;
    return { code, output: child.output };
  };
  return { ...started, run };
}

describe('warmpath nodes', () => {
  it('lists, drains with a note, shows it, and undrains', async () => {
    const { run, bench } = await serve();
    bench.inflight.set('gpu1', 2);
    expect(await run(['drain', 'gpu1', '--note', 'new GPU'])).toEqual({
      code: 0,
      output: 'gpu1 drains, 2 still run\n',
    });
    const { code, output } = await run(['list']);
    expect(code).toBe(0);
    const lines = output.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^NAME +STATE +SOURCE +URL +SEEN +PROBLEM$/);
    expect(lines[1]).toMatch(
      /^gpu1 +draining +config +http:\/\/10\.0\.0\.1:11434 +– +operator: new GPU, 2 running$/,
    );
    expect(lines[2]).toMatch(/^gpu2 +unknown +config +http:\/\/10\.0\.0\.2:11434 +–$/);
    expect(await run(['undrain', 'gpu1'])).toEqual({ code: 0, output: 'gpu1 takes requests again\n' });
    expect(bench.status('gpu1')).not.toBe('draining');
  }, 60_000);

  it('removes a found node after a time, and approves what waits', async () => {
    const { run, bench, clock } = await serve();
    await bench.find('found');
    bench.inflight.set('found', 1);
    const drained = await run(['drain', 'found', '--remove-after', '10m', '--json']);
    expect(drained.code).toBe(0);
    expect(JSON.parse(drained.output).results).toMatchObject([
      { name: 'found', node: { drains: [{ cause: 'operator' }], inflight: 1 } },
    ]);
    await clock.advance(601_000);
    expect(bench.registry.get('found')?.state).toBe('removed');
    expect(await run(['approve', 'found'])).toMatchObject({ code: 0 });
    await clock.advance(3_000);
    expect(bench.registry.get('found')?.state).toBe('member');
    expect(await run(['remove', 'found'])).toEqual({ code: 0, output: 'found is removed\n' });
    expect(await run(['approve', '--all-candidates'])).toEqual({
      code: 0,
      output: 'warmpath: no node waits to be approved\n',
    });
  }, 60_000);

  it('changes nothing when one name of several is none, and says which was probably meant', async () => {
    const { run, bench } = await serve();
    expect(await run(['drain', 'gpu1', 'gpu22'])).toEqual({
      code: 1,
      output: 'warmpath: no node is named gpu22; did you mean gpu2?\n',
    });
    expect(bench.status('gpu1')).not.toBe('draining');
    const odd = await run(['remove', 'something-else']);
    expect(odd.output).toBe(
      'warmpath: no node is named something-else; warmpath nodes list shows those there are\n',
    );
  }, 60_000);

  it('says of each node how it went, and ends with 1 where one was refused', async () => {
    const { run, bench } = await serve();
    await bench.drains.load();
    await run(['drain', 'gpu2']);
    expect(await run(['undrain', 'gpu1', 'gpu2'])).toEqual({
      code: 1,
      output: expect.stringMatching(/gpu2 takes requests again\n/),
    });
  }, 60_000);

  it('shows the token that it was given, from the environment or the configuration file', async () => {
    const { run, bench } = await serve({ token: () => TOKEN });
    const without = await run(['drain', 'gpu1']);
    expect(without.code).toBe(1);
    expect(without.output).toContain('changes need the admin token: set WARMPATH_ADMIN_TOKEN');
    expect(bench.status('gpu1')).not.toBe('draining');
    expect((await run(['drain', 'gpu1'], { WARMPATH_ADMIN_TOKEN: TOKEN })).code).toBe(0);
    const dir = tempDir();
    const file = join(dir.path, 'w.yaml');
    writeFileSync(file, 'adminTokenFile: token\n');
    writeFileSync(join(dir.path, 'token'), `${TOKEN}\n`);
    expect((await run(['undrain', 'gpu1', '--config', file])).code).toBe(0);
    dir.remove();
  }, 60_000);

  it.each([
    [['drain'], "missing required argument 'names'"],
    [['approve'], 'give NAMES or --all-candidates'],
    [['approve', 'x', '--all-candidates'], 'give NAMES or --all-candidates'],
    [['drain', 'gpu1', '--remove-after', 'soon'], 'such as 30s, 10m or 1h'],
    [['drain', 'gpu1', '--remove-after', '9999h'], 'such as 30s, 10m or 1h'],
    [['list', 'gpu1'], 'too many arguments'],
  ])(
    'takes %j as wrong usage',
    async (args, want) => {
      const { run } = await serve();
      const { code, output } = await run(args);
      expect(code).toBe(2);
      expect(output).toContain(want);
    },
    30_000,
  );

  it('says so when nothing answers', async () => {
    const child = spawnProcess(process.execPath, [MAIN, 'nodes', 'list', '--admin', '127.0.0.1:1']);
    expect((await child.exited).code).toBe(3);
    expect(child.output).toContain('no Warmpath answers at http://127.0.0.1:1');
  }, 30_000);
});
