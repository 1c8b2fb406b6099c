import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { createRunTool } from '../../../src/agent/run-tool.ts';
import { tempDir } from '../../support/temp-dir.ts';

const NEVER = new AbortController().signal;
const node = process.execPath;

describe('a tool', () => {
  const run = createRunTool();

  it('answers with what it prints, in the language that parsers know, without our own secrets', async () => {
    vi.stubEnv('WARMPATH_JOIN_TOKEN', 'secret-secret-secret');
    vi.stubEnv('LC_ALL', 'de_DE.UTF-8');
    const code = 'process.stdout.write([process.env.WARMPATH_JOIN_TOKEN, process.env.LC_ALL].join("|"))';
    expect(await run(node, ['-e', code], NEVER)).toEqual({ kind: 'ok', stdout: '|C' });
    vi.unstubAllEnvs();
  });

  it('is missing where there is none, or none that may be run', async () => {
    expect(await run('no-such-tool-anywhere', [], NEVER)).toEqual({ kind: 'missing' });
    const dir = tempDir();
    writeFileSync(join(dir.path, 'tool'), '#!/bin/sh\n', { mode: 0o600 });
    expect(await run(join(dir.path, 'tool'), [], NEVER)).toEqual({ kind: 'missing' });
    dir.remove();
  });

  it('that fails says why by its first line, wherever it prints it', async () => {
    const failing = (stream: string) =>
      `process.${stream}.write("\\nno driver\\nmore\\n"); process.exitCode = 9`;
    expect(await run(node, ['-e', failing('stdout')], NEVER)).toMatchObject({
      kind: 'failed',
      message: 'no driver',
    });
    expect(await run(node, ['-e', failing('stderr')], NEVER)).toMatchObject({
      kind: 'failed',
      message: 'no driver',
    });
    expect(await run(node, ['-e', 'process.exitCode = 9'], NEVER)).toMatchObject({ message: 'ended with 9' });
  });

  it('takes its arguments as they are, with no shell between', async () => {
    const result = await run(node, ['-p', 'process.argv[1]', '$(id); `id` | id'], NEVER);
    expect(result).toEqual({ kind: 'ok', stdout: '$(id); `id` | id\n' });
  });

  it('that never ends, or prints without end, is ended', async () => {
    const impatient = createRunTool({ timeoutMs: 100 });
    expect(await impatient(node, ['-e', 'setInterval(() => {}, 1000)'], NEVER)).toEqual({ kind: 'timeout' });
    const flood =
      'const b = "x".repeat(65536); const w = () => { while (process.stdout.write(b)); }; process.stdout.on("drain", w); w()';
    expect((await run(node, ['-e', flood], NEVER)).kind).toBe('failed');
  });

  it('is given up when the agent ends', async () => {
    const stop = new AbortController();
    const result = run(node, ['-e', 'setInterval(() => {}, 1000)'], stop.signal);
    stop.abort();
    expect(await result).toEqual({ kind: 'timeout' });
    expect(await run(node, ['-v'], stop.signal)).toEqual({ kind: 'timeout' });
  });
});
