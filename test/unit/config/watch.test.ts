import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/app/ports.ts';
import { SystemClock } from '../../../src/app/system-clock.ts';
import type { ConfigDiff } from '../../../src/config/diff.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { type ReloadResult, watchConfig } from '../../../src/config/watch.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const nodes = (...names: string[]) => `nodes:\n${names.map((name) => `  - url: http://${name}\n`).join('')}`;

async function watching(
  {
    clock = new FakeClock(),
    apply = () => {},
    path = 'w.yaml',
  }: { clock?: Clock; apply?: (diff: ConfigDiff) => void; path?: string } = {},
  prepare: (dir: string) => void = (dir) => writeFileSync(join(dir, path), nodes('a')),
) {
  const dir = tempDir();
  cleanups.push(() => dir.remove());
  prepare(dir.path);
  const file = join(dir.path, path);
  let loads = 0;
  const load = () => {
    loads += 1;
    return loadConfig({ file, env: { HOME: '/home/me' }, localIps: [] });
  };
  const applied: string[][] = [];
  const results: ReloadResult[] = [];
  const watcher = watchConfig({
    load,
    initial: await load(),
    apply: (diff) => {
      apply(diff);
      applied.push(diff.applied.nodes.map(({ id }) => id));
    },
    onResult: (result) => results.push(result),
    clock,
  });
  cleanups.push(() => watcher.close());
  await watcher.ready;
  return { dir: dir.path, file, clock, watcher, applied, results, loads: () => loads };
}

describe('asked to reload', () => {
  it('applies the difference', async () => {
    const { file, watcher, applied, results } = await watching();
    writeFileSync(file, nodes('a', 'b'));
    expect(await watcher.reload()).toMatchObject({ kind: 'applied', diff: { added: [{ id: 'b' }] } });
    expect(applied).toEqual([['a', 'b']]);
    expect(results).toHaveLength(1);
  });

  it('says when nothing changed', async () => {
    const { watcher, applied, results } = await watching();
    expect(await watcher.reload()).toEqual({ kind: 'unchanged' });
    expect(applied).toEqual([]);
    expect(results).toEqual([{ kind: 'unchanged' }]);
  });

  it.each([
    ['a broken file', 'nodes: [', /^w\.yaml is not valid: w\.yaml:1:\d+ [^\n]+$/],
    ['an unknown key', `${nodes('a')}zebra: 1\n`, /w\.yaml:3:1 zebra: unknown key/],
    ['a file without a node any more', 'nodes: []\n', /names no node any more; the 1 known ones stay/],
    ['an empty file', '', /names no node any more/],
  ])('keeps the old configuration for %s, and says why (F86)', async (_, text, reason) => {
    const { file, watcher, applied } = await watching();
    writeFileSync(file, text);
    expect(await watcher.reload()).toEqual({ kind: 'refused', reason: expect.stringMatching(reason) });
    expect(applied).toEqual([]);
    writeFileSync(file, nodes('a', 'c'));
    expect((await watcher.reload()).kind).toBe('applied');
  });

  it('lets the last named node go where others are found', async () => {
    const { file, watcher, applied } = await watching();
    writeFileSync(file, 'discovery: { sources: [{ kind: mdns }] }\n');
    expect((await watcher.reload()).kind).toBe('applied');
    expect(applied.at(-1)).toEqual([]);
  });

  it('keeps the old configuration when the file is gone', async () => {
    const { file, watcher } = await watching();
    rmSync(file);
    expect(await watcher.reload()).toEqual({
      kind: 'refused',
      reason: expect.stringContaining('does not exist'),
    });
  });

  it('counts what could not be applied as refused, and applies it the next time', async () => {
    let isBroken = true;
    const apply = () => {
      if (isBroken) throw new Error('no room');
    };
    const { file, watcher, applied } = await watching({ apply });
    writeFileSync(file, nodes('a', 'b'));
    expect(await watcher.reload()).toEqual({ kind: 'refused', reason: 'no room' });
    isBroken = false;
    expect((await watcher.reload()).kind).toBe('applied');
    expect(applied).toEqual([['a', 'b']]);
  });

  it('reports what waits for a restart, and goes on comparing with what really holds', async () => {
    const { file, watcher } = await watching();
    writeFileSync(file, `${nodes('a')}listen: 127.0.0.1:1\n`);
    const want = { kind: 'applied', diff: { needsRestart: ['listen.host', 'listen.port'] } };
    expect(await watcher.reload()).toMatchObject(want);
    expect(await watcher.reload()).toMatchObject(want);
  });

  it('a hundred times at once, reads the file twice at most (F87)', async () => {
    const { file, watcher, loads, applied } = await watching();
    const before = loads();
    const asked = [];
    for (let i = 0; i < 100; i++) {
      writeFileSync(file, nodes('a', `n${i}`));
      asked.push(watcher.reload());
    }
    await Promise.all(asked);
    expect(loads() - before).toBeLessThanOrEqual(2);
    expect(applied.at(-1)).toEqual(['a', 'n99']);
  });
});

describe('when files change', () => {
  it('waits until the file has rested, so that half of one is never applied', async () => {
    const clock = new FakeClock();
    const { file, applied, results } = await watching({ clock });
    const heard = () => waitFor('the change to be heard', () => clock.pending > 1, { intervalMs: 5 });
    writeFileSync(file, nodes('a').slice(0, 10));
    await heard();
    await clock.advance(200);
    expect(results).toEqual([]);
    writeFileSync(file, nodes('a', 'b'));
    await waitFor('the reload', async () => {
      await clock.advance(100);
      return applied.length > 0;
    });
    expect(applied).toEqual([['a', 'b']]);
    expect(results.map(({ kind }) => kind)).toEqual(['applied']);
  });

  it('follows the change of a symbolic link as Kubernetes does it', async () => {
    const { dir, applied } = await watching({ clock: new SystemClock() }, (path) => {
      mkdirSync(join(path, '..2026_1'));
      writeFileSync(join(path, '..2026_1/w.yaml'), nodes('a'));
      symlinkSync('..2026_1', join(path, '..data'));
      symlinkSync('..data/w.yaml', join(path, 'w.yaml'));
    });
    for (const [round, old] of [
      [2, 1],
      [3, 2],
    ]) {
      mkdirSync(join(dir, `..2026_${round}`));
      writeFileSync(join(dir, `..2026_${round}/w.yaml`), nodes('a', `n${round}`));
      symlinkSync(`..2026_${round}`, join(dir, '..data_tmp'));
      renameSync(join(dir, '..data_tmp'), join(dir, '..data'));
      rmSync(join(dir, `..2026_${old}`), { recursive: true });
      await waitFor(`round ${round}`, () => applied.at(-1)?.includes(`n${round}`), { timeoutMs: 5_000 });
    }
  });

  it('follows a file that an editor replaces', async () => {
    const { dir, file, applied } = await watching({ clock: new SystemClock() });
    for (const name of ['b', 'c']) {
      writeFileSync(join(dir, 'new'), nodes('a', name));
      renameSync(join(dir, 'new'), file);
      await waitFor(`node ${name}`, () => applied.at(-1)?.includes(name), { timeoutMs: 5_000 });
    }
  });

  it('reads a rotated token', async () => {
    const { dir, applied } = await watching({ clock: new SystemClock() }, (path) => {
      mkdirSync(join(path, 'secret'));
      writeFileSync(join(path, 'secret/token'), 'one');
      writeFileSync(join(path, 'w.yaml'), `${nodes('a')}    tokenFile: secret/token\n`);
    });
    writeFileSync(join(dir, 'secret/token'), 'two');
    await waitFor('the new token', () => applied.length > 0, { timeoutMs: 5_000 });
  });

  it('notices a change that the file system does not report', async () => {
    const clock = new FakeClock();
    const elsewhere = tempDir();
    cleanups.push(() => elsewhere.remove());
    const target = join(elsewhere.path, 'real.yaml');
    const { applied } = await watching({ clock }, (path) => {
      writeFileSync(target, nodes('a'));
      symlinkSync(target, join(path, 'w.yaml'));
    });
    writeFileSync(`${target}.new`, nodes('a', 'b'));
    renameSync(`${target}.new`, target);
    await clock.advance(9_000);
    await waitFor('the reload', async () => {
      await clock.advance(300);
      return applied.at(-1)?.includes('b');
    });
  });

  it('reads nothing while other files of the directory change', async () => {
    const clock = new FakeClock();
    const { dir, loads } = await watching({ clock });
    const before = loads();
    writeFileSync(join(dir, 'other'), 'x');
    await waitFor('the change to be heard', () => clock.pending > 1, { intervalMs: 5 });
    await clock.advance(5_000);
    expect(loads()).toBe(before);
  });

  it('under a storm reads every two seconds, not at every change (F87)', async () => {
    const clock = new FakeClock();
    const { file, loads, applied } = await watching({ clock });
    const before = loads();
    for (let i = 0; i < 400; i++) {
      writeFileSync(file, nodes('a', `n${i}`));
      // 100 changes a second, for four seconds.
      await clock.advance(10);
      if (i % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await waitFor('the last change', async () => {
      await clock.advance(300);
      return applied.at(-1)?.includes('n399');
    });
    expect(loads() - before).toBeLessThan(20);
  });
});
