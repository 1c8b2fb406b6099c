import { expect, it } from 'vitest';
import { Alarms } from '../../../src/app/alarms.ts';
import { ExtProcReport } from '../../../src/app/ext-proc-report.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';

function setUp() {
  const clock = new FakeClock();
  const counted: string[] = [];
  const alarms = new Alarms(clock, new MemoryLog());
  const telemetry = {
    extProcStream: (...labels: string[]) => void counted.push(labels.join(' ')),
    extProcProblem: (problem: string) => void counted.push(problem),
  };
  const report = new ExtProcReport({ profile: 'epp', clock, alarms, telemetry });
  return { clock, alarms, counted, report };
}

it('counts streams by profile and mode', () => {
  const { report, counted } = setUp();
  report.opened('full_duplex_streamed');
  report.opened('full_duplex_streamed');
  report.opened('none');
  expect(counted).toEqual(['epp full_duplex_streamed', 'epp full_duplex_streamed', 'epp none']);
  expect(report.figures()).toMatchObject({
    profile: 'epp',
    modes: [
      { mode: 'full_duplex_streamed', streams: 2 },
      { mode: 'none', streams: 1 },
    ],
    problems: [],
  });
});

it('counts problems, the most frequent first, each with its remedy and when it was met last', async () => {
  const { report, clock, counted } = setUp();
  report.met('observed_only');
  for (let i = 0; i < 5; i++) report.met('request_body_streamed');
  await clock.advance(60_000);
  report.met('request_body_streamed');
  expect(counted.filter((label) => label === 'request_body_streamed')).toHaveLength(6);
  expect(report.figures().problems).toMatchObject([
    {
      problem: 'request_body_streamed',
      count: 6,
      lastAt: 60_000,
      remedy: expect.stringContaining('FULL_DUPLEX_STREAMED'),
    },
    { problem: 'observed_only', count: 1, lastAt: 0, remedy: expect.stringContaining('observability_mode') },
  ]);
});

it('raises an alarm that names every problem, and takes it back once none was met for five minutes', async () => {
  const { report, alarms, clock } = setUp();
  const ended = new AbortController();
  const running = report.run(ended.signal);
  report.met('request_body_not_sent');
  report.met('served_endpoint_not_told');
  expect(alarms.list()).toMatchObject([
    { code: 'ext_proc_misconfigured', message: expect.stringContaining('request_body_not_sent, served_') },
  ]);
  await clock.advance(200_000);
  report.met('served_endpoint_not_told');
  await clock.advance(120_000);
  expect(alarms.list()[0]?.message).not.toContain('request_body_not_sent');
  expect(alarms.list()[0]?.message).toContain('served_endpoint_not_told');
  await clock.advance(300_000);
  expect(alarms.list()).toEqual([]);
  report.met('served_endpoint_not_told');
  expect(alarms.list()).toHaveLength(1);
  ended.abort();
  await clock.advance(30_000);
  await running;
});
