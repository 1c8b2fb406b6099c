import { expect, it } from 'vitest';
import { InterruptibleSleep } from '../../../src/nodes/interruptible-sleep.ts';
import { runPoller } from '../../../src/nodes/poller.ts';
import { FakeClock } from '../../support/fake-clock.ts';

function setUp(fields: Partial<Parameters<typeof runPoller>[1]> = {}) {
  const clock = new FakeClock();
  const stop = new AbortController();
  const errors: unknown[] = [];
  const options = {
    intervalMs: 100,
    jitter: 0,
    clock,
    random: () => 0,
    onError: (error: unknown) => errors.push(error),
    ...fields,
  };
  return { clock, stop, errors, options };
}

it('reports a failing tick and goes on', async () => {
  const { clock, stop, errors, options } = setUp();
  let ticks = 0;
  const tick = async () => {
    ticks += 1;
    if (ticks === 1) throw new Error('no');
  };
  const done = runPoller(tick, options, stop.signal);
  await clock.advance(100);
  expect(ticks).toBe(2);
  expect(errors).toEqual([new Error('no')]);
  stop.abort();
  await done;
  await clock.advance(1_000);
  expect(ticks).toBe(2);
});

it('never overlaps ticks: the pause begins when a slow one ends (F67)', async () => {
  const { clock, stop, options } = setUp();
  const began: number[] = [];
  const tick = async (signal: AbortSignal) => {
    began.push(clock.now());
    await clock.sleep(500, signal);
  };
  const done = runPoller(tick, options, stop.signal);
  await clock.advance(1_300);
  expect(began).toEqual([0, 600, 1_200]);
  stop.abort();
  await done;
});

it('spreads by a first pause and by jitter', async () => {
  const { clock, stop, options } = setUp({ initialDelayMs: 30, jitter: 0.5, random: () => 0.5 });
  const began: number[] = [];
  const done = runPoller(async () => void began.push(clock.now()), options, stop.signal);
  await clock.advance(300);
  expect(began).toEqual([30, 155, 280]);
  stop.abort();
  await done;
});

it('does not report what fails because it was stopped', async () => {
  const { stop, errors, options } = setUp();
  const tick = (signal: AbortSignal) =>
    new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(new Error('stopped'))));
  const done = runPoller(tick, options, stop.signal);
  stop.abort();
  await done;
  expect(errors).toEqual([]);
});

it('ticks at once when its sleep is cut short, also when that was asked for during a tick', async () => {
  const clock = new FakeClock();
  const sleep = new InterruptibleSleep(clock);
  const { stop, options } = setUp({ clock: sleep });
  const began: number[] = [];
  const tick = async () => {
    began.push(clock.now());
    if (began.length === 2) sleep.wake();
  };
  const done = runPoller(tick, options, stop.signal);
  await clock.advance(40);
  sleep.wake();
  await clock.advance(100);
  expect(began).toEqual([0, 40, 40, 140]);
  stop.abort();
  await done;
  expect(clock.pending).toBe(0);
});
