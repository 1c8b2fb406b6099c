import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { reportSchema } from '../../../src/app/agents/agent-protocol.ts';
import { type TempDir, tempDir } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';
import { TestControlPlane } from './control-plane.ts';

const MAIN = resolve(import.meta.dirname, '../../../src/main.ts');
const TOKEN = 'the-join-token-of-this-test';

let dir: TempDir;
let plane: TestControlPlane;
beforeEach(() => {
  dir = tempDir();
  plane = new TestControlPlane(TOKEN);
});
afterEach(async () => {
  await plane.close();
  dir.remove();
});

function startAgent(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [MAIN, 'agent', '--state-dir', dir.path, ...args], {
    env: { PATH: process.env.PATH, HOME: dir.path, WARMPATH_JOIN_TOKEN: TOKEN, ...env },
  });
  const output = { text: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    output.text += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    output.text += chunk.toString();
  });
  return { child, output, exited: once(child, 'exit') };
}

it('a whole agent joins, reports, enters maintenance by a file, and ends at SIGTERM without a word of its token', async () => {
  const url = await plane.listen();
  const { child, output, exited } = startAgent(['--to', url.origin, '--node', 'gpu1', '--interval', '500ms']);
  try {
    await waitFor('the first report', () => plane.reports.length > 0);
    expect(plane.joins).toHaveLength(1);
    expect(plane.reports[0]).toMatchObject({ node: 'gpu1', maintenance: { on: false }, intervalMs: 500 });
    expect(plane.reports[0]?.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(statSync(join(dir.path, 'gpu1.key')).mode & 0o777).toBe(0o600);
    writeFileSync(join(dir.path, 'maintenance'), 'new fans\n');
    await waitFor('maintenance', () => plane.reports.at(-1)?.maintenance?.note === 'new fans');
  } finally {
    child.kill('SIGTERM');
  }
  expect(await exited).toEqual([0, null]);
  expect(output.text).toContain(`reporting as \\"gpu1\\" to ${url.origin}`);
  expect(output.text).not.toContain(TOKEN);
});

it('a machine without a GPU says so once', async () => {
  const tools = join(dir.path, 'no-tools');
  const url = await plane.listen();
  const { child, output, exited } = startAgent(
    ['--to', url.origin, '--node', 'cpu1', '--interval', '500ms'],
    {
      PATH: tools,
    },
  );
  try {
    await waitFor('three reports', () => plane.reports.length > 2);
  } finally {
    child.kill('SIGTERM');
  }
  await exited;
  const gpus = plane.reports.at(-1)?.gpus ?? [];
  expect(output.text.match(/no GPU is seen/g) ?? []).toHaveLength(gpus.length === 0 ? 1 : 0);
});

it('one look prints what would be reported, makes no key and tells nobody', async () => {
  const url = await plane.listen();
  const { child, exited } = startAgent(['--once', '--to', url.origin, '--node', 'gpu1']);
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  expect(await exited).toEqual([0, null]);
  expect(reportSchema.parse(JSON.parse(printed))).toMatchObject({ node: 'gpu1' });
  expect(plane.heard).toEqual([]);
  expect(existsSync(join(dir.path, 'gpu1.key'))).toBe(false);
});

it('flags that make no sense end it with code 2 and the reason', async () => {
  const { output, exited } = startAgent(['--to', 'gateway']);
  expect(await exited).toEqual([2, null]);
  expect(output.text).toContain('is no URL: write e.g. http://gateway:9412');
});
