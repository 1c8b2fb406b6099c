import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import {
  ControlPlaneProcess,
  ControlPlaneStartError,
} from '../../../src/supervisor/control-plane-process.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';

const SCRIPT = fileURLToPath(new URL('./scripted-child.ts', import.meta.url));
const ENVOY = { type: 'envoy', version: '1.40.0', pid: 7, restarts: 0 } as const;

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** A real child that follows a script, on a clock that stands still: backoff and timeouts pass when the test says so. */
function running(role: string) {
  const dir = tempDir();
  const clock = new FakeClock();
  const log = new MemoryLog();
  const heard: string[] = [];
  const plane = new ControlPlaneProcess({
    args: [role],
    script: SCRIPT,
    stateDir: dir.path,
    stopTimeoutMs: 5_000,
    clock,
    random: () => 1,
    log,
    onMessage: (message) =>
      heard.push(message.type === 'listening' ? 'listening' : (message.nodes[0]?.id ?? 'nothing')),
  });
  const stop = new AbortController();
  const done = plane.run(stop.signal);
  const ended = done.catch(() => undefined);
  cleanups.push(async () => {
    stop.abort();
    plane.kill();
    await ended;
    dir.remove();
  });
  const starts = () => heard.filter((line) => line === 'listening').length;
  const started = (count = 1) => waitFor(`start ${count}`, () => starts() >= count);
  const pidFile = join(dir.path, 'control-plane.pid');
  return { plane, clock, log, heard, stop, done, starts, started, pidFile };
}

describe('the control plane’s process', () => {
  it('that crashes after it worked is started again, each time later', async () => {
    const { clock, log, starts, started } = running('crashes');
    for (const [index, delayMs] of [100, 200, 400].entries()) {
      await waitFor('the crash', () => clock.pending === 1);
      await clock.advance(delayMs - 1);
      expect(starts()).toBe(index + 1);
      await clock.advance(1);
      await started(index + 2);
    }
    expect(log.lines.slice(0, 3).map(({ fields }) => fields)).toEqual([
      { exit: 70, restartInMs: 100 },
      { exit: 70, restartInMs: 200 },
      { exit: 70, restartInMs: 400 },
    ]);
  });

  it('that gives up before it has listened is not started again: it has said why', async () => {
    const { done, log, clock } = running('cannot-start');
    await expect(done).rejects.toThrow(ControlPlaneStartError);
    expect(log.lines).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('that is killed before it has listened is started again', async () => {
    const { clock, log } = running('killed');
    await waitFor('the first end', () => clock.pending === 1);
    await clock.advance(100);
    await waitFor('the second end', () => log.count('error') === 2);
    expect(log.lines[1]?.fields).toMatchObject({ exit: 'SIGKILL' });
  });

  it('leaves its pid in a file for as long as it runs', async () => {
    const { pidFile, started, stop, done } = running('obedient');
    await started();
    expect(process.kill(Number(readFileSync(pidFile, 'utf8')), 0)).toBe(true);
    stop.abort();
    await done;
    expect(existsSync(pidFile)).toBe(false);
  });

  it('is asked to end, and its end is waited for', async () => {
    const { stop, done, heard, started, log } = running('obedient');
    await started();
    stop.abort();
    await done;
    expect(heard).toEqual(['listening', 'terminated']);
    expect(log.lines).toEqual([]);
  });

  it('that does not end in time is killed', async () => {
    const { stop, done, heard, started, clock } = running('stubborn');
    let isOver = false;
    void done.then(() => {
      isOver = true;
    });
    await started();
    stop.abort();
    await waitFor('SIGTERM', () => heard.includes('terminated'));
    await clock.advance(4_999);
    expect(isOver).toBe(false);
    await clock.advance(1);
    await done;
    expect(isOver).toBe(true);
  });

  it('is killed at once where that is asked for, and not started again', async () => {
    const { plane, done, started, starts, clock } = running('stubborn');
    await started();
    plane.kill();
    await done;
    expect([starts(), clock.pending]).toEqual([1, 0]);
  });

  it('reads its configuration again when told', async () => {
    const { plane, heard, started } = running('obedient');
    await started();
    plane.reload();
    await waitFor('SIGHUP', () => heard.includes('hung up'));
  });

  it('hears of Envoy as soon as it listens, and again after a restart', async () => {
    const { plane, heard, started, pidFile, clock } = running('obedient');
    plane.tellEnvoy(ENVOY);
    const told = `told ${JSON.stringify(ENVOY)}`;
    await waitFor('news of Envoy', () => heard.includes(told));
    process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL');
    await waitFor('the end', () => clock.pending === 1);
    await clock.advance(100);
    await started(2);
    await waitFor('news of Envoy', () => heard.lastIndexOf(told) > heard.lastIndexOf('listening'));
  });

  it('hears that Envoy drains, and after a restart how much of that is left', async () => {
    const { plane, heard, started, pidFile, clock } = running('obedient');
    const told = (endsInMs: number) => `told ${JSON.stringify({ type: 'draining', endsInMs })}`;
    await started();
    plane.tellDrain(30_000);
    await waitFor('news of the drain', () => heard.includes(told(30_000)));
    process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL');
    await waitFor('the end', () => clock.pending === 1);
    await clock.advance(100);
    await started(2);
    await waitFor('news of the drain', () => heard.includes(told(29_900)));
  });
});
