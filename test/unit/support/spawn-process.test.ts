import { describe, expect, it } from 'vitest';
import { spawnProcess } from '../../support/spawn-process.ts';

const node = (script: string): ReturnType<typeof spawnProcess> =>
  spawnProcess(process.execPath, ['-e', script]);

describe('a spawned process', () => {
  it('has its output kept and its end told', async () => {
    const child = node('console.log("out"); console.error("err"); process.exit(3)');
    expect(await child.exited).toEqual({ code: 3, signal: null });
    expect(child.output).toContain('out\n');
    expect(child.output).toContain('err\n');
    expect(child.isRunning).toBe(false);
  });

  it('is waited for until it says something', async () => {
    const child = node('setInterval(() => console.log("ready on port 42"), 20)');
    expect((await child.waitForOutput(/port (\d+)/))[1]).toBe('42');
    expect(await child.stop()).toEqual({ code: null, signal: 'SIGTERM' });
  });

  it('fails the wait with what it said when it ends', async () => {
    const child = node('console.log("cannot do that")');
    await expect(child.waitForOutput(/ready/)).rejects.toThrow(/cannot do that/);
  });

  it('is killed when it does not heed a stop', async () => {
    const child = node('process.on("SIGTERM", () => {}); console.log("deaf"); setInterval(() => {}, 1000)');
    await child.waitForOutput(/deaf/);
    expect(await child.stop(100)).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('tells when the program does not exist', async () => {
    const child = spawnProcess('/no/such/program', []);
    expect((await child.exited).code).toBe(-1);
    expect(child.output).toContain('ENOENT');
  });
});
