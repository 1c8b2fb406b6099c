import { expect, it } from 'vitest';
import { SystemClock } from '../../../src/app/system-clock.ts';

const clock = new SystemClock();

it('counts monotonic time on and shows the wall clock', async () => {
  const before = clock.now();
  const wall = Date.now();
  await clock.sleep(1, new AbortController().signal);
  expect(clock.now()).toBeGreaterThan(before);
  expect(clock.date().getTime()).toBeGreaterThanOrEqual(wall);
});

it('wakes a sleeper when its signal aborts', async () => {
  const stop = new AbortController();
  const slept = clock.sleep(3_600_000, stop.signal);
  stop.abort();
  await slept;
  await clock.sleep(3_600_000, stop.signal);
});

it('does not fire at once when asked for more than a timer can hold', async () => {
  let fired = false;
  const cancel = clock.after(Number.MAX_SAFE_INTEGER, () => {
    fired = true;
  });
  await clock.sleep(5, new AbortController().signal);
  cancel();
  expect(fired).toBe(false);
});

it('does not call what was cancelled', async () => {
  let fired = false;
  clock.after(1, () => {
    fired = true;
  })();
  await clock.sleep(5, new AbortController().signal);
  expect(fired).toBe(false);
});
