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
    expect(report.worst).toBeLessThan(500);
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

it('gives a reader that reads every line, in order, through a pipe smaller than the flood', async () => {
  const child = spawn('sh', ['-c', '"$1" "$2" | cat', 'sh', process.execPath, CHATTERBOX], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [lines, report] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const rounds = lines
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { round: number; i: number });
  const { dropped } = JSON.parse(report) as { dropped: number };
  expect(rounds.length + dropped).toBe(100 * 200);
  expect(dropped).toBeLessThan(2_000);
  const order = rounds.map(({ round, i }) => round * 200 + i);
  expect(order).toEqual(order.toSorted((a, b) => a - b));
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
