import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { openLogDestination } from '../../../src/telemetry/log-destination.ts';

const CHATTERBOX = join(import.meta.dirname, 'chatterbox.ts');

it('F92: a reader that never reads costs lines, holds nothing up and does not keep the process from ending', async () => {
  // The shell's sleep holds the pipe open without reading a byte of it.
  const script = `"$1" "$2" | sleep 20`;
  const began = performance.now();
  const child = spawn('sh', ['-c', `(${script}) & wait`, 'sh', process.execPath, CHATTERBOX], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  try {
    const [chunk] = (await once(child.stderr, 'data')) as [Buffer];
    const report = JSON.parse(chunk.toString()) as { worst: number; dropped: number };
    expect(report.dropped).toBeGreaterThan(1000);
    expect(report.worst).toBeLessThan(2_000);
    expect(performance.now() - began).toBeLessThan(15_000);
  } finally {
    // Its whole group, which holds nothing but the shell, the process and the sleep.
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  }
});

it('F92: a socket that nobody reads does not keep the process from ending either', async () => {
  const child = spawn(process.execPath, [CHATTERBOX], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.pause();
  await once(child.stderr, 'data');
  const began = performance.now();
  await once(child, 'exit');
  expect(performance.now() - began).toBeLessThan(2_000);
});

it('gives a reader that reads every line, in order, though the pipe is full again and again', async () => {
  // 20 lines a round: less than what is buffered at most, far more than a pipe holds.
  const child = spawn('sh', ['-c', '"$1" "$2" 20 | (sleep 0.3; cat)', 'sh', process.execPath, CHATTERBOX], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [lines, report] = await Promise.all([text(child.stdout), text(child.stderr)]);
  expect(JSON.parse(report)).toMatchObject({ dropped: 0 });
  const order = lines
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { round: number; i: number })
    .map(({ round, i }) => round * 20 + i);
  expect(order).toEqual(Array.from({ length: 100 * 20 }, (_, index) => index));
});

it('stops without a word when its reader is gone', async () => {
  const child = spawn('sh', ['-c', '"$1" "$2" | true', 'sh', process.execPath, CHATTERBOX], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const { dropped } = JSON.parse(await text(child.stderr)) as { dropped: number };
  expect(dropped).toBeGreaterThan(10_000);
});

it('appends to a file and flushes at once when asked', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'warmpath-log-'));
  try {
    const path = join(directory, 'log');
    const destination = openLogDestination(openSync(path, 'a'));
    destination.write('one\n');
    destination.write('two\n');
    destination.flushSync();
    expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n');
    expect(destination.dropped()).toBe(0);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
