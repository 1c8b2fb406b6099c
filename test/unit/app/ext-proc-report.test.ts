import { describe, expect, it } from 'vitest';
import { Alarms } from '../../../src/app/alarms.ts';
import { CONNECTION_PROBLEMS } from '../../../src/app/ext-proc-profile.ts';
import { remedyFor } from '../../../src/app/ext-proc-remedies.ts';
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

describe('connections that come to nothing', () => {
  /** One of each in `minutes`, from a clock that begins now. */
  async function tried({ report, clock }: ReturnType<typeof setUp>, minutes: number): Promise<void> {
    for (let minute = 0; minute < minutes; minute++) {
      report.refused('connection_tls', '10.0.0.7');
      await clock.advance(60_000);
    }
  }

  it('are counted and shown at once, with who was the last', () => {
    const { report, counted } = setUp();
    report.refused('connection_plaintext', '10.0.0.7');
    report.refused('connection_plaintext', '10.0.0.8');
    expect(counted).toEqual(['connection_plaintext', 'connection_plaintext']);
    expect(report.figures().problems).toEqual([
      {
        problem: 'connection_plaintext',
        count: 2,
        lastAt: 0,
        from: '10.0.0.8',
        remedy: expect.stringMatching(/transport_socket.* extProc\.tls to off/),
      },
    ]);
  });

  it('are no alarm, and are forgotten, where it was a port scan: many at once, and once more later', async () => {
    const { report, alarms, clock } = setUp();
    const ended = new AbortController();
    const running = report.run(ended.signal);
    for (let i = 0; i < 50; i++) report.refused('connection_handshake_failed', '192.0.2.1');
    await clock.advance(240_000);
    report.refused('connection_handshake_failed', '192.0.2.1');
    for (let i = 0; i < 10; i++) {
      await clock.advance(30_000);
      expect(alarms.list()).toEqual([]);
    }
    expect(report.figures().problems).toMatchObject([{ count: 51 }]);
    await clock.advance(600_000);
    expect(report.figures().problems).toEqual([]);
    ended.abort();
    await clock.advance(30_000);
    await running;
  });

  it('are one where somebody keeps trying, until five minutes after the last', async () => {
    const set = setUp();
    const { report, alarms, clock } = set;
    const ended = new AbortController();
    const running = report.run(ended.signal);
    await tried(set, 2);
    expect(alarms.list()).toEqual([]);
    await tried(set, 1);
    expect(alarms.list()).toMatchObject([
      { code: 'ext_proc_misconfigured', message: expect.stringContaining('connection_tls;') },
    ]);
    await clock.advance(300_000);
    expect(alarms.list()).toEqual([]);
    // From the beginning again.
    await tried(set, 2);
    expect(alarms.list()).toEqual([]);
    ended.abort();
    await clock.advance(30_000);
    await running;
  });

  it('do not take away the alarm of another problem, nor hurry theirs by it', () => {
    const { report, alarms } = setUp();
    report.met('observed_only');
    report.refused('connection_tls', undefined);
    report.met('request_body_streamed');
    expect(alarms.list()[0]?.message).toContain(
      'way that does not fully work: observed_only, request_body_streamed;',
    );
  });

  it.each(CONNECTION_PROBLEMS)(
    '%s has a remedy that names a setting of the proxy and one of ours',
    (problem) => {
      expect(remedyFor(problem)).toMatch(/\((Envoy|Kubernetes|Envoy Gateway)\b/);
      expect(remedyFor(problem)).toMatch(/extProc\.tls/);
    },
  );
});
