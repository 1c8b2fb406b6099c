import { describe, expect, it } from 'vitest';
import { Alarms } from '../../../src/app/alarms.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';

function started() {
  const clock = new FakeClock();
  const log = new MemoryLog();
  return { clock, log, alarms: new Alarms(clock, log) };
}

describe('an alarm', () => {
  it('is said once when it appears and once when it is over', () => {
    const { alarms, log } = started();
    for (let turn = 0; turn < 3; turn += 1) alarms.raise('shrink_guard', 'held back');
    for (let turn = 0; turn < 3; turn += 1) alarms.clear('shrink_guard');
    expect(log.lines).toEqual([
      { level: 'warn', message: 'held back', fields: { alarm: 'shrink_guard' } },
      { level: 'info', message: 'over: held back', fields: { alarm: 'shrink_guard' } },
    ]);
    expect(alarms.list()).toEqual([]);
  });

  it('that says something new keeps the time it began', async () => {
    const { alarms, clock, log } = started();
    alarms.raise('config_rejected', 'line 3');
    await clock.advance(60_000);
    alarms.raise('config_rejected', 'line 5');
    expect(alarms.list()).toEqual([
      { code: 'config_rejected', message: 'line 5', since: '2026-01-01T00:00:00.000Z' },
    ]);
    expect(log.messages('warn')).toEqual(['line 3', 'line 5']);
  });
});
