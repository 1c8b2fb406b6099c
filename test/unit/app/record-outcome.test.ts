import { describe, expect, it } from 'vitest';
import type { OutcomeEnd } from '../../../src/app/types.ts';
import { resident } from '../fleet/builders.ts';
import { MODEL, request } from '../routing/builders.ts';
import { address, Workbench } from './workbench.ts';

const WARM = [resident(MODEL)];

/** Two nodes, the first warm, and one request on it. */
function underWay(fields = {}) {
  const bench = new Workbench().withNodes({ n1: WARM, n2: [] });
  return { bench, id: bench.route(request(fields)).id };
}

describe('an answer that comes from a node', () => {
  it('has its lease there, wherever it was sent first, until its stream ends', () => {
    const { bench, id } = underWay();
    bench.recorder.servedBy(id, address(2));
    expect([bench.ledger.onNode('n1'), bench.ledger.onNode('n2')]).toEqual([0, 1]);
    bench.recorder.servedBy(id, address(2));
    bench.finish(id);
    expect(bench.ledger.size).toBe(0);
    bench.recorder.servedBy(id, address(1));
    expect(bench.ledger.size).toBe(0);
  });

  it('that is not known leaves it where it is', () => {
    const { bench, id } = underWay();
    bench.recorder.servedBy(id, '10.9.9.9:1');
    bench.recorder.servedBy('me-99', address(2));
    expect(bench.ledger.onNode('n1')).toBe(1);
  });

  it('is not taken for one that began when its node was heard of', async () => {
    const bench = new Workbench().withNodes({ n1: WARM, n2: WARM });
    const asked = { family: 'openai', path: '/v1/chat/completions', stream: true } as const;
    const { id, addresses } = bench.route(request(asked));
    const [first = '', second = ''] = addresses;
    await bench.clock.advance(2_000);
    bench.failed(id, first, { reason: 'unexplained' });
    bench.recorder.servedBy(id, second);
    await bench.clock.advance(1_000);
    bench.finish(id);
    bench.ended(id, {
      address: second,
      firstByteMs: 2_000,
      totalMs: 3_000,
      attempts: 2,
      usage: { completionTokens: 20, promptTokens: 60 },
    });
    // Not one second: the node further down had it for longer than since its headers came.
    expect(
      bench.fleet.nodes.get(bench.fleet.nodeAt(second) ?? '')?.learnt.figures.get(MODEL)?.heldMs?.value,
    ).toBe(3_000);
  });
});

describe('a failed attempt', () => {
  it('moves the lease to the node that Envoy tries next', () => {
    const { bench, id } = underWay();
    bench.failed(id, address(1));
    expect(bench.ledger.onNode('n1')).toBe(0);
    expect(bench.ledger.onModel('n2', MODEL)).toBe(1);
    bench.finish(id);
    expect(bench.ledger.size).toBe(0);
  });

  it('on the last node of the list leaves the lease where it is', () => {
    const { bench, id } = underWay();
    bench.failed(id, address(1));
    bench.failed(id, address(2));
    expect(bench.ledger.onNode('n2')).toBe(1);
    expect(bench.telemetry.attempts).toEqual(['n1 refused', 'n2 refused']);
  });

  it('counts against its node', () => {
    const { bench, id } = underWay();
    bench.failed(id, address(1));
    expect(bench.fleet.nodes.get('n1')?.health).toMatchObject({
      strikes: 1,
      lastFailure: { reason: 'refused', source: 'live' },
    });
    expect(bench.fleet.nodes.get('n2')?.health.strikes).toBe(0);
  });

  it('that is told twice counts once', () => {
    const { bench, id } = underWay();
    bench.failed(id, address(1));
    bench.failed(id, address(1));
    expect(bench.telemetry.attempts).toEqual(['n1 refused']);
    expect(bench.fleet.nodes.get('n1')?.health.strikes).toBe(1);
    expect(bench.ledger.onNode('n2')).toBe(1);
  });

  it('after the stream has ended takes no lease up again', () => {
    const { bench, id } = underWay();
    bench.finish(id);
    bench.failed(id, address(1));
    expect(bench.ledger.size).toBe(0);
    expect(bench.telemetry.attempts).toEqual(['n1 refused']);
  });

  it.each([
    { what: 'decision', id: 'other-1', at: address(1) },
    { what: 'address', id: undefined, at: '10.9.9.9:11434' },
  ])('of an unknown $what is ignored', ({ id, at }) => {
    const { bench, id: known } = underWay();
    bench.failed(id ?? known, at);
    expect(bench.telemetry.attempts).toEqual([]);
    expect(bench.ledger.onNode('n1')).toBe(1);
  });

  it('for want of the model has the tag list read again', () => {
    const { bench, id } = underWay();
    bench.failed(id, address(1), { reason: 'model_missing', status: 404 });
    expect(bench.refreshed).toEqual(['n1']);
    bench.failed(id, address(2), { reason: 'busy', status: 503 });
    expect(bench.refreshed).toEqual(['n1']);
  });
});

describe('the end of a request', () => {
  it('teaches the node’s speed from a complete answer', () => {
    const { bench, id } = underWay();
    bench.ended(id, { totalMs: 900, usage: { completionTokens: 12 } });
    expect(bench.telemetry.attempts).toEqual(['n1 served']);
    expect(bench.fleet.nodes.get('n1')?.learnt.figures.get(MODEL)?.heldMs?.value).toBe(900);
    expect(bench.telemetry.endings[0]).toMatchObject({
      routed: true,
      node: 'n1',
      model: MODEL,
      totalSeconds: 0.9,
      firstByteSeconds: 0.12,
      completionTokens: 12,
    });
    const { predictedFirstTokenSeconds, predictedCompletionSeconds } = bench.telemetry.endings[0] ?? {};
    expect(predictedFirstTokenSeconds).toBeGreaterThan(0);
    expect(predictedCompletionSeconds).toBeGreaterThan(predictedFirstTokenSeconds ?? Number.NaN);
  });

  it.each<{ end: OutcomeEnd; status: number }>([
    { end: 'client_gone', status: 200 },
    { end: 'failed', status: 502 },
    { end: 'refused', status: 413 },
    { end: 'complete', status: 400 },
  ])('teaches nothing when it is $end with $status', ({ end, status }) => {
    const { bench, id } = underWay();
    const before = bench.fleet.nodes.get('n1');
    bench.ended(id, { end, status });
    expect(bench.fleet.nodes.get('n1')).toBe(before);
    expect(bench.telemetry.attempts).toEqual([]);
    expect(bench.telemetry.endings).toHaveLength(1);
  });

  it('of an unload is counted and teaches nothing', () => {
    const { bench, id } = underWay({ unloads: true });
    const before = bench.fleet.nodes.get('n1');
    bench.ended(id);
    expect(bench.telemetry.attempts).toEqual(['n1 served']);
    expect(bench.fleet.nodes.get('n1')).toBe(before);
  });

  it.each<{ end: OutcomeEnd }>([{ end: 'truncated' }, { end: 'in_band_error' }])(
    'that is $end is one failure, whichever log tells of it first',
    ({ end }) => {
      const reason = end === 'truncated' ? 'truncated' : 'in_band_error';
      const { bench, id } = underWay();
      bench.failed(id, address(1), { reason });
      const once = bench.fleet.nodes.get('n1');
      bench.ended(id, { end });
      const other = underWay();
      other.bench.ended(other.id, { end });
      other.bench.failed(other.id, address(1), { reason });
      for (const { telemetry, fleet } of [bench, other.bench]) {
        expect(telemetry.attempts).toEqual([`n1 ${reason}`]);
        expect(fleet.nodes.get('n1')).toEqual(once);
      }
    },
  );

  it('on a later node counts for that one', () => {
    const { bench, id } = underWay();
    bench.failed(id, address(1));
    bench.ended(id, { address: address(2), attempts: 2 });
    expect(bench.telemetry.endings[0]).toMatchObject({ node: 'n2', attempts: 2 });
    expect(bench.fleet.nodes.get('n2')?.health.servedAt).toBe(1_000);
    expect(bench.fleet.nodes.get('n1')?.health.servedAt).toBeUndefined();
  });

  it('keeps the outcome with the decision, which is no longer open', () => {
    const { bench, id } = underWay();
    bench.ended(id);
    expect(bench.decisions.openCount).toBe(0);
    expect(bench.decisions.recent(1)[0]).toMatchObject({ id, outcome: { status: 200, end: 'complete' } });
  });

  it.each([
    { what: 'a decision of our predecessor', id: 'gone-1', routed: true },
    { what: 'a request that failed open', id: undefined, routed: false },
  ])('counts $what by its address, and learns nothing from it', ({ id, routed }) => {
    const { bench } = underWay();
    const before = bench.fleet.nodes.get('n1');
    bench.ended(id);
    expect(bench.telemetry.endings).toMatchObject([
      { routed, node: 'n1', model: undefined, predictedFirstTokenSeconds: undefined },
    ]);
    expect(bench.fleet.nodes.get('n1')).toBe(before);
  });

  it('with no node at all is counted without one', () => {
    const { bench } = underWay();
    bench.ended(undefined, { address: undefined, status: 403, end: 'refused' });
    expect(bench.telemetry.endings).toMatchObject([{ node: undefined, end: 'refused' }]);
  });
});
