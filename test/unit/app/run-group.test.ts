import { describe, expect, it } from 'vitest';
import { RunGroup } from '../../../src/app/run-group.ts';

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

describe('a run group', () => {
  it('stops the others when one fails, waits for them, and names the one that failed', async () => {
    const group = new RunGroup();
    let hasStopped = false;
    const cause = new Error('socket closed');
    group.add('steady', async (signal) => {
      await untilAborted(signal);
      await Promise.resolve();
      hasStopped = true;
    });
    group.add('shaky', () => Promise.reject(cause));
    await expect(group.done()).rejects.toThrow(
      expect.objectContaining({ message: 'shaky failed: socket closed', cause }),
    );
    expect(hasStopped).toBe(true);
  });

  it('names the first failure, not what it led to', async () => {
    const group = new RunGroup();
    group.add('second', async (signal) => {
      await untilAborted(signal);
      throw new Error('cut off');
    });
    group.add('first', () => Promise.reject('no reason given'));
    await expect(group.done()).rejects.toThrow('first failed: no reason given');
  });

  it('ends quietly when it is stopped', async () => {
    const group = new RunGroup();
    group.add('steady', untilAborted);
    const done = group.done();
    group.stop();
    await expect(done).resolves.toBeUndefined();
  });

  it('waits for tasks that were added while it was waiting', async () => {
    const group = new RunGroup();
    const log: string[] = [];
    group.add('first', async () => {
      group.add('later', async () => {
        await Promise.resolve();
        log.push('later');
      });
      log.push('first');
    });
    await group.done();
    expect(log).toEqual(['first', 'later']);
  });

  it('a task that ends by itself stops nobody', async () => {
    const group = new RunGroup();
    group.add('brief', () => Promise.resolve());
    group.add('steady', untilAborted);
    await Promise.resolve();
    expect(group.signal.aborted).toBe(false);
    group.stop();
    await group.done();
  });
});
