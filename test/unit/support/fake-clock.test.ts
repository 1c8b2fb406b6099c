import { expect, it } from 'vitest';
import { FakeClock } from '../../support/fake-clock.ts';

const never = new AbortController().signal;

it('stands still until it is advanced', async () => {
  const clock = new FakeClock({ now: 5 });
  let fired = false;
  clock.after(1, () => {
    fired = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(clock.now()).toBe(5);
  expect(fired).toBe(false);
});

it('runs timers in order of time, each at its own moment', async () => {
  const clock = new FakeClock();
  const seen: [string, number][] = [];
  clock.after(30, () => seen.push(['late', clock.now()]));
  clock.after(10, () => seen.push(['early', clock.now()]));
  clock.after(10, () => seen.push(['early, set second', clock.now()]));
  clock.after(31, () => seen.push(['not yet', clock.now()]));
  await clock.advance(30);
  expect(seen).toEqual([
    ['early', 10],
    ['early, set second', 10],
    ['late', 30],
  ]);
  expect(clock.pending).toBe(1);
});

it('lets a loop that sleeps run as often as the time allows', async () => {
  const clock = new FakeClock();
  const at: number[] = [];
  const stop = new AbortController();
  const loop = (async () => {
    while (!stop.signal.aborted) {
      at.push(clock.now());
      await Promise.resolve().then(() => Promise.resolve());
      await clock.sleep(10, stop.signal);
    }
  })();
  await clock.advance(35);
  expect(at).toEqual([0, 10, 20, 30]);
  stop.abort();
  await loop;
  expect(clock.pending).toBe(0);
});

it('runs a timer that an earlier timer set within the same advance', async () => {
  const clock = new FakeClock();
  const at: number[] = [];
  clock.after(5, () => void Promise.resolve().then(() => clock.after(5, () => at.push(clock.now()))));
  await clock.advance(10);
  expect(at).toEqual([10]);
});

it('does not run a cancelled timer', async () => {
  const clock = new FakeClock();
  let fired = false;
  clock.after(5, () => {
    fired = true;
  })();
  await clock.advance(10);
  expect(fired).toBe(false);
});

it('wakes a sleeper at once when its signal aborts, and does not sleep under an aborted one', async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const slept = clock.sleep(1_000, stop.signal);
  stop.abort();
  await slept;
  await clock.sleep(1_000, stop.signal);
  expect(clock.now()).toBe(0);
  expect(clock.pending).toBe(0);
});

it('moves the wall clock with the monotonic one', async () => {
  const clock = new FakeClock({ now: 100, date: new Date('2026-03-01T00:00:00Z') });
  await clock.advance(1_500);
  expect(clock.now()).toBe(1_600);
  expect(clock.date().toISOString()).toBe('2026-03-01T00:00:01.500Z');
});

it('runs what fell due during a jump at the next advance, and never goes back in time', async () => {
  const clock = new FakeClock();
  const at: number[] = [];
  clock.after(10, () => at.push(clock.now()));
  void clock.sleep(20, never).then(() => at.push(clock.now()));
  clock.jump(100);
  expect(at).toEqual([]);
  await clock.advance(0);
  expect(at).toEqual([100, 100]);
});
