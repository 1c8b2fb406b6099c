import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readmissionMs } from '../../../src/fleet/health.ts';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import type { FailureReason } from '../../../src/fleet/types.ts';
import { NodeLife, resident } from './builders.ts';

const REASONS: FailureReason[] = [
  'refused',
  'connect_timeout',
  'timeout',
  'reset',
  'truncated',
  'bad_answer',
  'server_error',
  'busy',
  'model_missing',
  'in_band_error',
  'dns',
  'tls',
];

describe('polls', () => {
  it('make an unknown node ready with the first answer', () => {
    expect(new NodeLife().polled().status).toBe('ready');
  });

  it.each([
    'refused',
    'connect_timeout',
    'timeout',
    'reset',
    'bad_answer',
    'server_error',
    'dns',
    'tls',
  ] as const)('that fail with %s make a node suspect at once and down at the second', (reason) => {
    const node = new NodeLife().polled().wait(1_000).pollFailed(reason);
    expect(node.status).toBe('suspect');
    expect(node.wait(1_000).pollFailed(reason).status).toBe('down');
  });

  it('that answer again between failures keep the node from going down', () => {
    const node = new NodeLife().polled();
    for (let i = 0; i < 5; i += 1) node.wait(1_000).pollFailed().wait(1_000).polled();
    expect(node.status).toBe('suspect');
    expect(node.record.health.strikes).toBe(0);
  });

  it('clear a suspect node after it behaved for the readmission time', () => {
    const node = new NodeLife().polled().wait(1_000).pollFailed().wait(1_000).polled();
    expect(node.status).toBe('suspect');
    expect(node.goodFor(1_000).status).toBe('suspect');
    expect(node.goodFor(1_000).status).toBe('ready');
  });

  it('that say 429 or 503 cool the node down without a strike', () => {
    const node = new NodeLife().polled().wait(1_000).pollFailed('busy');
    expect(node.status).toBe('ready');
    expect(node.record.health.strikes).toBe(0);
    expect(node.record.health.busyUntil).toBeGreaterThan(node.now);
  });

  it('F67: that time out do not touch a node which serves meanwhile', () => {
    const node = new NodeLife().polled().served();
    for (let i = 0; i < 10; i += 1) {
      expect(node.wait(3_000).pollFailed('timeout').status).toBe('ready');
      node.wait(3_000).served();
    }
  });

  it('F67: that time out do not touch a node which serves without a break', () => {
    const node = new NodeLife().polled();
    for (let i = 0; i < 100; i += 1) node.wait(300).served();
    expect(node.pollFailed('timeout').status).toBe('ready');
  });

  it('F52: that time out make a node suspect within seconds once it serves no longer', () => {
    const node = new NodeLife().polled().served().wait(4_000).pollFailed('timeout');
    expect(node.status).toBe('suspect');
  });

  it('F52: that time out take a node down which serves no longer', () => {
    const node = new NodeLife().polled().served().wait(11_000).pollFailed('timeout');
    expect(node.status).toBe('suspect');
    expect(node.wait(3_000).pollFailed('timeout').status).toBe('down');
  });

  it('F71: that are refused make a node which serves meanwhile suspect, never down', () => {
    const node = new NodeLife().polled().served();
    for (let i = 0; i < 8; i += 1) node.wait(1_000).pollFailed('refused');
    expect(node.status).toBe('suspect');
    expect(node.served().status).toBe('ready');
    expect(node.wait(1_000).pollFailed().wait(10_000).pollFailed().wait(1_000).pollFailed().status).toBe(
      'down',
    );
  });
});

describe('live traffic', () => {
  it.each(['refused', 'connect_timeout', 'dns', 'tls'] as const)(
    'F50 F51: %s makes a node suspect, the second time down',
    (reason) => {
      const node = new NodeLife().polled().failed(reason);
      expect(node.status).toBe('suspect');
      expect(node.failed(reason).status).toBe('down');
    },
  );

  it('and polls add up: one refused request and one refused poll make a node down', () => {
    expect(new NodeLife().polled().failed('refused').wait(500).pollFailed('refused').status).toBe('down');
  });

  it('are told apart: good polls after a failed one do not excuse refused requests before it', () => {
    const node = new NodeLife({}, { downAfter: 3 })
      .polled()
      .failed()
      .wait(500)
      .pollFailed()
      .wait(500)
      .polled();
    expect(node.record.health.strikes).toBe(2);
    expect(node.status).toBe('suspect');
    expect(node.failed().status).toBe('down');
  });

  it.each(['reset', 'truncated'] as const)('F54 F57: %s alone makes a node suspect, never down', (reason) => {
    const node = new NodeLife().polled();
    for (let i = 0; i < 10; i += 1) node.wait(10).failed(reason);
    expect(node.status).toBe('suspect');
  });

  it.each(['server_error', 'in_band_error', 'bad_answer', 'timeout'] as const)(
    'F53 F55 F56: %s raises the failure rate and leaves the status',
    (reason) => {
      const node = new NodeLife().polled();
      for (let i = 0; i < 20; i += 1) node.wait(10).failed(reason, `m${i}`);
      expect(node.status).toBe('ready');
      expect(node.record.health.failureRate).toBeGreaterThan(0.9);
    },
  );

  it('F58: a busy answer cools the node down for the time it asks for, without a strike', () => {
    const node = new NodeLife().polled().failed('busy', 'm', 7_000);
    expect(node.status).toBe('ready');
    expect(node.record.health.busyUntil).toBe(node.now + 7_000);
  });

  it('F58: a node that is busy again and again is left alone for longer, up to a bound', () => {
    const node = new NodeLife().polled().failed('busy');
    const firstPause = node.record.health.busyUntil - node.now;
    for (let i = 0; i < 50; i += 1) node.wait(1_000).failed('busy');
    const pause = node.record.health.busyUntil - node.now;
    expect(pause).toBeGreaterThan(2 * firstPause);
    expect(node.failed('busy', 'm', 1e12).record.health.busyUntil).toBe(node.now + 60_000);
  });

  it('F59: a missing model is no failure of the node', () => {
    const before = new NodeLife().polled();
    const { health } = before.record;
    expect(before.failed('model_missing').record.health).toBe(health);
  });

  it('one served request makes a suspect node ready', () => {
    expect(new NodeLife().polled().failed('refused').served().status).toBe('ready');
  });

  it('F69: a node that is down to the poller and serves all the same comes back', () => {
    const node = new NodeLife().pollFailed().wait(1_000).pollFailed();
    expect(node.status).toBe('down');
    expect(node.served().status).toBe('suspect');
    expect(node.wait(100).served().status).toBe('ready');
  });

  it('F71: outranks polls: a node that only the poller reaches goes down for ever longer times', () => {
    const node = new NodeLife().polled();
    let failures = 0;
    const downAt: number[] = [];
    for (let second = 0; second < 600; second += 1) {
      node.wait(1_000).polled();
      if (node.status !== 'ready') continue;
      failures += 1;
      if (node.failed('connect_timeout').status === 'down') downAt.push(second);
    }
    const gaps = downAt.slice(1).map((at, i) => at - (downAt[i] ?? 0));
    expect(failures).toBeLessThan(12);
    expect(gaps.length).toBeGreaterThan(3);
    for (const [i, gap] of gaps.entries()) expect(gap).toBeGreaterThanOrEqual(gaps[i - 1] ?? 0);
  });
});

describe('readmission', () => {
  it('F61: takes readmitAfter the first time and doubles with each flap, up to readmitMax', () => {
    expect([0, 1, 2, 3, 4].map((flaps) => readmissionMs(flaps, DEFAULT_HEALTH))).toEqual([
      2_000, 2_000, 4_000, 8_000, 16_000,
    ]);
    expect(readmissionMs(16, DEFAULT_HEALTH)).toBe(300_000);
  });

  it('asks a node that was down to behave without interruption', () => {
    const node = new NodeLife().polled().failed().failed();
    expect(node.goodFor(2_000).status).toBe('down');
    node.wait(500).pollFailed();
    expect(node.goodFor(2_000).status).toBe('down');
    expect(node.goodFor(1_000).status).toBe('ready');
  });

  it('forgets the failures that made a node down: slow start tries it, and a crowd may use it', () => {
    const node = new NodeLife().polled().failed().failed();
    expect(node.record.health.failureRate).toBeGreaterThan(0.4);
    expect(node.goodFor(3_000).status).toBe('ready');
    expect(node.record.health.failureRate).toBe(0);
  });

  it('forgives flaps with time in service', () => {
    const node = new NodeLife().polled();
    for (let i = 0; i < 3; i += 1) node.failed().failed().goodFor(20_000);
    expect(node.record.health.flaps).toBe(3);
    node.goodFor(180_000).failed().failed();
    expect(node.record.health.flaps).toBe(1);
  });

  it('F61: a node that is up 5 s and down 5 s for 5 minutes fails at most one first attempt per flap', () => {
    const node = new NodeLife().polled();
    let flaps = 0;
    let failures = 0;
    let readySeconds = 0;
    for (let ms = 0; ms < 300_000; ms += 100) {
      const isUp = Math.floor(ms / 5_000) % 2 === 0;
      if (ms % 10_000 === 5_000) flaps += 1;
      node.wait(100);
      // One request every 100 ms, to this node only while it is ready: another one is healthy.
      if (node.status === 'ready') {
        if (isUp) node.served();
        else {
          node.failed();
          failures += 1;
        }
        readySeconds += 0.1;
      }
      if (ms % 1_000 === 0) {
        if (isUp) node.polled();
        else node.pollFailed();
      }
    }
    expect(flaps).toBe(30);
    expect(failures).toBeLessThanOrEqual(flaps);
    // The readmission time soon exceeds the 5 s in which it behaves: it is not tried again at all.
    expect(failures).toBeLessThanOrEqual(5);
    expect(readySeconds).toBeLessThan(30);
    expect(node.goodFor(300_000).status).toBe('ready');
  });
});

describe('whatever happens', () => {
  const event = fc.oneof(
    fc.record({ kind: fc.constant('poll' as const), ms: fc.nat(5_000) }),
    fc.record({ kind: fc.constant('served' as const), ms: fc.nat(5_000) }),
    fc.record({
      kind: fc.constantFrom('pollFailed' as const, 'failed' as const),
      reason: fc.constantFrom(...REASONS),
      ms: fc.nat(5_000),
    }),
  );
  const run = (node: NodeLife, e: typeof event extends fc.Arbitrary<infer T> ? T : never): void => {
    node.wait(e.ms);
    if (e.kind === 'poll') node.polled();
    else if (e.kind === 'served') node.served();
    else if (e.kind === 'pollFailed') node.pollFailed(e.reason);
    else node.failed(e.reason);
  };

  it('figures stay in their ranges and times make sense', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const node = new NodeLife();
        for (const e of events) {
          run(node, e);
          const { health } = node.record;
          expect(health.failureRate).toBeGreaterThanOrEqual(0);
          expect(health.failureRate).toBeLessThanOrEqual(1);
          expect(health.strikes).toBeGreaterThanOrEqual(0);
          expect(health.strikes).toBeLessThanOrEqual(DEFAULT_HEALTH.downAfter);
          expect(health.since).toBeLessThanOrEqual(node.now);
          expect(health.busyUntil).toBeLessThanOrEqual(node.now + 60_000);
          expect(health.flaps).toBeLessThanOrEqual(16);
        }
      }),
    );
  });

  it('a node that behaves for long enough is ready with a clean record', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const node = new NodeLife();
        for (const e of events) run(node, e);
        node.goodFor(400_000);
        expect(node.status).toBe('ready');
        expect(node.record.health.strikes).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it('no node is down before two failures', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 30 }), (events) => {
        const node = new NodeLife();
        let failures = 0;
        for (const e of events) {
          run(node, e);
          if (e.kind === 'pollFailed' || e.kind === 'failed') failures += 1;
          if (failures < 2) expect(node.status).not.toBe('down');
        }
      }),
    );
  });
});

it('a node that comes back is not left alone by the model whose answers broke off as it died', () => {
  const node = new NodeLife().polled(resident('m:latest')).served({}, 'm:latest');
  const failed = (reason: 'truncated' | 'refused') =>
    node.see({ kind: 'attempt_failed', model: 'm:latest', reason, retryAfterMs: undefined });
  for (let i = 0; i < 4; i += 1) failed('truncated');
  for (let i = 0; i < 2; i += 1) failed('refused');
  expect(node.record.health.status).toBe('down');
  expect(node.record.health.stuckModels.size).toBe(1);
  for (let i = 0; i < 60; i += 1) node.wait(1_000).polled(resident('m:latest'));
  expect(node.record.health.status).toBe('ready');
  expect(node.record.health.stuckModels.size).toBe(0);
});
