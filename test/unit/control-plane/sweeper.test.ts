import { afterEach, describe, expect, it } from 'vitest';
import { runSweeper } from '../../../src/control-plane/sweeper.ts';
import { Workbench } from '../app/workbench.ts';
import { resident } from '../fleet/builders.ts';
import { MODEL, request } from '../routing/builders.ts';

const HOURS_6 = 6 * 3_600_000;
let stop = new AbortController();
afterEach(() => {
  stop.abort();
  stop = new AbortController();
});

function sweeping() {
  const bench = new Workbench({ kept: 1 }).withNodes({ n1: [resident(MODEL)] });
  const { ledger, decisions, telemetry, clock } = bench;
  void runSweeper({ ledger, decisions, telemetry, clock }, stop.signal);
  return bench;
}

describe('the sweeper', () => {
  it('ends leases whose stream end was never heard of, and counts them', async () => {
    const bench = sweeping();
    bench.route(request());
    bench.clock.jump(HOURS_6 - 60_000);
    await bench.clock.advance(20_000);
    expect([bench.ledger.size, bench.telemetry.reaped]).toEqual([1, 0]);
    await bench.clock.advance(60_000);
    expect([bench.ledger.size, bench.telemetry.reaped]).toEqual([0, 1]);
    await bench.clock.advance(60_000);
    expect(bench.telemetry.reaped).toBe(1);
  });

  it('forgets ended decisions whose access log was lost, a minute after their end', async () => {
    const bench = sweeping();
    const ended = bench.route(request()).id;
    bench.route(request());
    bench.finish(ended);
    await bench.clock.advance(60_000);
    expect(bench.decisions.openCount).toBe(2);
    await bench.clock.advance(20_000);
    expect(bench.decisions.openCount).toBe(1);
    expect(bench.decisions.find(ended)).toBeUndefined();
  });

  it('ends with its signal', async () => {
    const bench = sweeping();
    stop.abort();
    await bench.clock.advance(0);
    expect(bench.clock.pending).toBe(0);
  });
});
