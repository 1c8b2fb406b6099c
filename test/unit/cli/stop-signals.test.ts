import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { listenForSignals } from '../../../src/cli/stop-signals.ts';
import { FakeClock } from '../../support/fake-clock.ts';

function listening() {
  const source = new EventEmitter();
  const clock = new FakeClock({ now: 50_000 });
  let seconds = 0;
  const stop = listenForSignals(
    () => {
      seconds += 1;
    },
    source,
    clock,
  );
  return { source, clock, stop, seconds: () => seconds };
}

describe('stop signals', () => {
  it.each(['SIGINT', 'SIGTERM'])('the first %s asks gently', async (signal) => {
    const { source, stop, seconds } = listening();
    source.emit(signal);
    await stop.requested;
    expect([stop.gentle.aborted, stop.now.aborted, seconds()]).toEqual([true, false, 0]);
  });

  it('the same Ctrl-C, delivered twice, is one', async () => {
    const { source, stop, clock } = listening();
    source.emit('SIGINT');
    await clock.advance(299);
    source.emit('SIGINT');
    expect(stop.now.aborted).toBe(false);
    await clock.advance(1);
    source.emit('SIGINT');
    expect(stop.now.aborted).toBe(true);
  });

  it('the second ends at once, and a third changes nothing', async () => {
    const { source, stop, clock, seconds } = listening();
    source.emit('SIGINT');
    for (let turn = 0; turn < 2; turn += 1) {
      await clock.advance(1_000);
      source.emit('SIGTERM');
    }
    expect([stop.now.aborted, seconds()]).toEqual([true, 1]);
  });

  it('a stop asked for from inside is a first one', async () => {
    const { source, stop } = listening();
    stop.request();
    await stop.requested;
    expect(stop.now.aborted).toBe(false);
    source.emit('SIGTERM');
    expect(stop.now.aborted).toBe(true);
  });

  it('SIGHUP tells everyone who asked, and stops nothing', () => {
    const { source, stop } = listening();
    const heard: string[] = [];
    stop.onHangup(() => heard.push('a'));
    stop.onHangup(() => heard.push('b'));
    source.emit('SIGHUP');
    expect(heard).toEqual(['a', 'b']);
    expect(stop.gentle.aborted).toBe(false);
  });
});
