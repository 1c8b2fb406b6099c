import { expect, it } from 'vitest';
import type { ExtProcProblem } from '../../../../src/app/ext-proc-profile.ts';
import { problemReporter } from '../../../../src/envoy/processor/problem-reporter.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { MemoryLog } from '../../../support/memory-log.ts';

it('tells each problem every time, and logs it with its remedy now and then', async () => {
  const [log, clock] = [new MemoryLog(), new FakeClock()];
  const told: ExtProcProblem[] = [];
  const report = problemReporter(
    log,
    () => clock.now(),
    (problem) => told.push(problem),
  );
  for (let i = 0; i < 100; i++) report('request_body_streamed');
  report('protocol_violation', 'unexpected request_body');
  expect(told).toHaveLength(101);
  expect(log.lines).toMatchObject([
    { level: 'warn', fields: { problem: 'request_body_streamed' } },
    { level: 'warn', fields: { problem: 'protocol_violation', detail: 'unexpected request_body' } },
  ]);
  expect(log.lines[0]?.message).toContain('set request_body_mode to BUFFERED');
  await clock.advance(11 * 60_000);
  report('request_body_streamed');
  expect(log.count('warn')).toBe(3);
});
