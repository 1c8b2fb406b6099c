import { afterEach, describe, expect, it } from 'vitest';
import { SharedOutcomes } from '../../../../src/app/sharing/shared-outcomes.ts';
import type { AttemptReport, Outcome } from '../../../../src/app/types.ts';
import { MemoryStore } from '../../../../src/store/memory.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { resident } from '../../fleet/builders.ts';
import { MODEL, request } from '../../routing/builders.ts';
import { address, Workbench } from '../workbench.ts';
import { FlakyStore } from './flaky-store.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** Two replicas on the same two nodes; Envoy may tell either of them how a request went. */
function two() {
  const clock = new FakeClock({ now: 1_000 });
  const store = new MemoryStore(clock, { isShared: true });
  const live = new Set(['a', 'b']);
  const replica = (id: string) => {
    const bench = new Workbench({ replica: id, clock }).withNodes({ n1: [resident(MODEL)], n2: [] });
    const line = new FlakyStore(store);
    const outcomes = new SharedOutcomes({
      store: line.store,
      replica: id,
      clock,
      recorder: bench.recorder,
      isLive: (other) => live.has(other),
    });
    outcomes.start();
    cleanups.push(() => outcomes.stop());
    return { bench, line, outcomes };
  };
  return { clock, store, live, a: replica('a'), b: replica('b') };
}

function failed(decisionId: string): AttemptReport {
  return { decisionId, address: address(1), reason: 'refused', status: undefined, retryAfterMs: undefined };
}

function ended(decisionId: string | undefined): Outcome {
  return {
    decisionId,
    path: '/api/chat',
    method: 'POST',
    status: 200,
    details: 'via_upstream',
    flags: [],
    address: address(2),
    attempts: 2,
    firstByteMs: 120,
    totalMs: 900,
    requestBytes: 300,
    responseBytes: 2_000,
    usage: {
      promptTokens: 3,
      completionTokens: 5,
      totalMs: 880,
      loadMs: undefined,
      promptEvalMs: undefined,
      evalMs: undefined,
      sawError: false,
    },
    end: 'complete',
  };
}

describe('a report that reaches another replica than the one that decided', () => {
  it('moves the lease where it is held, a millisecond later, and is counted there only', async () => {
    const { clock, a, b } = two();
    const { id } = a.bench.route(request());
    b.outcomes.attemptFailed(failed(id));
    await clock.advance(1);
    expect([a.bench.ledger.onNode('n1'), a.bench.ledger.onNode('n2')]).toEqual([0, 1]);
    expect([a.bench.telemetry.attempts, b.bench.telemetry.attempts]).toEqual([['n1 refused'], []]);
  });

  it('ends with its record, its figures and its count there, once', async () => {
    const { clock, a, b } = two();
    const { id } = a.bench.route(request());
    a.bench.finish(id);
    b.outcomes.requestEnded(ended(id));
    await clock.advance(20);
    expect(a.bench.decisions.find(id)?.outcome).toEqual(ended(id));
    expect(a.bench.decisions.openCount).toBe(0);
    expect(a.bench.telemetry.endings).toMatchObject([{ routed: true, node: 'n2', model: MODEL }]);
    expect(b.bench.telemetry.endings).toEqual([]);
  });

  it('stays where it came when it is its own, nobody’s, or of a replica that is gone', async () => {
    const { clock, live, a, b } = two();
    live.delete('a');
    const own = b.bench.route(request()).id;
    for (const id of [own, undefined, 'a-1', 'unknown-7', 'garbage']) b.outcomes.requestEnded(ended(id));
    await clock.advance(20);
    expect(b.bench.telemetry.endings).toHaveLength(5);
    expect(a.bench.telemetry.endings).toEqual([]);
  });

  it('is counted where it came when the store cannot carry it', async () => {
    const { clock, a, b } = two();
    const { id } = a.bench.route(request());
    b.line.isUp = false;
    b.outcomes.requestEnded(ended(id));
    await clock.advance(20);
    expect(b.bench.telemetry.endings).toHaveLength(1);
    expect(a.bench.telemetry.endings).toHaveLength(0);
  });

  it('travels with others, and before they fill a message', async () => {
    const { clock, a, b } = two();
    for (let i = 0; i < 1_200; i++) b.outcomes.requestEnded(ended('a-x'));
    await clock.advance(20);
    expect(b.line.asked.filter((command) => command === 'publish')).toHaveLength(3);
    expect(a.bench.telemetry.endings).toHaveLength(1_200);
  });

  it('F46 S23: is not believed when it is not what we write', async () => {
    const { clock, store, a } = two();
    const { id } = a.bench.route(request());
    const reports = [
      { kind: 'attempt', report: { ...failed(id), reason: 'because' } },
      { kind: 'end', report: { ...ended(id), totalMs: -1 } },
      { kind: 'end', report: { ...ended(id), end: 'never' } },
      null,
    ];
    for (const report of reports)
      await store.publish({ from: 'b', to: 'a', topic: 'outcomes', body: { reports: [report] } });
    await store.publish({ from: 'b', to: 'a', topic: 'outcomes', body: 'x' });
    await clock.advance(20);
    expect(a.bench.telemetry.endings).toEqual([]);
    expect(a.bench.ledger.onNode('n1')).toBe(1);
  });
});
