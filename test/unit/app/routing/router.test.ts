import { describe, expect, it } from 'vitest';
import { RouterError } from '../../../../src/request/errors.ts';
import { resident } from '../../fleet/builders.ts';
import { MODEL, request } from '../../routing/builders.ts';
import { address, Workbench } from '../workbench.ts';

const WARM = [resident(MODEL)];

describe('routing a request', () => {
  it('takes a lease on the first node of the list', () => {
    const bench = new Workbench().withNodes({ cold: [], warm: WARM });
    const decision = bench.route(request());
    expect(decision.addresses).toEqual([address(2), address(1)]);
    expect(bench.ledger.onModel('warm', MODEL)).toBe(1);
    expect(bench.ledger.onNode('cold')).toBe(0);
  });

  it('names every decision differently, and by the process that made it', () => {
    const bench = new Workbench().withNodes({ n1: WARM });
    const ids = Array.from({ length: 50 }, () => bench.route(request()).id);
    expect(new Set(ids).size).toBe(50);
    expect(ids.every((id) => id.startsWith('me-'))).toBe(true);
  });

  it('sees its own earlier leases: a second request goes where nobody waits', () => {
    const bench = new Workbench().withNodes({ n1: WARM, n2: WARM }, { slots: 1 });
    const [first, second] = [bench.route(request()), bench.route(request())];
    expect(second.addresses[0]).not.toBe(first.addresses[0]);
  });

  it('lets a 404 go to the next node only where there is one', () => {
    expect(new Workbench().withNodes({ n1: WARM }).route(request()).retryNotFound).toBe(false);
    expect(new Workbench().withNodes({ n1: WARM, n2: [] }).route(request()).retryNotFound).toBe(true);
  });

  it('counts a description on the node, but as no use of the model', () => {
    const bench = new Workbench().withNodes({ n1: [] });
    bench.route(request({ path: '/api/show', operation: 'show' }));
    expect(bench.ledger.onNode('n1')).toBe(1);
    expect(bench.ledger.onModel('n1', MODEL)).toBe(0);
  });

  it('without any node is a refusal that says when to come back, and leaves nothing behind', () => {
    const bench = new Workbench();
    const act = () => bench.route(request());
    expect(act).toThrow(RouterError);
    expect(act).toThrow(expect.objectContaining({ code: 'no_node', retryAfterSeconds: 2 }));
    expect(bench.ledger.size).toBe(0);
    expect(bench.decisions.openCount).toBe(0);
    expect(bench.telemetry.reasons).toEqual([]);
  });

  it('a preview ranks the same and leaves no trace', () => {
    const bench = new Workbench().withNodes({ n1: WARM, n2: [] });
    const { ranking } = bench.router.preview(request());
    expect(ranking.nodes.map(({ id }) => id)).toEqual(['n1', 'n2']);
    expect(bench.ledger.size).toBe(0);
    expect(bench.decisions.recent(10)).toEqual([]);
    expect(bench.telemetry.reasons).toEqual([]);
  });

  it('tells the metrics why, and of refusals that came before ranking', () => {
    const bench = new Workbench().withNodes({ n1: WARM });
    bench.route(request());
    bench.router.refused('invalid_json');
    expect(bench.telemetry.reasons).toEqual(['warm_idle']);
    expect(bench.telemetry.refusals).toEqual(['invalid_json']);
  });
});

it('logs one line for a decision: where it goes and why, every node with its terms, and Envoy’s name for it', () => {
  const bench = new Workbench().withNodes({ cold: [], warm: WARM });
  const placing = { requestId: 'envoy-1', placed: () => {}, refused: () => {} };
  const caller = { id: 'a', class: 'normal', maxWaitMs: 0, isPrivileged: false } as const;
  bench.router.place(request(), caller, 0, placing);
  const lines = bench.log.lines.filter(({ message }) => message === 'routed');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({
    level: 'debug',
    fields: {
      decision: 'me-1',
      requestId: 'envoy-1',
      model: MODEL,
      path: '/api/chat',
      nodes: [
        { node: 'warm', reason: 'warm_idle', seconds: expect.any(Number), terms: { load: 0 } },
        { node: 'cold', seconds: expect.any(Number), terms: { load: expect.any(Number) } },
      ],
    },
  });
  expect(bench.decisions.find('me-1')?.toRecord().requestId).toBe('envoy-1');
  bench.ended('me-1');
  expect(bench.log.lines.at(-1)).toMatchObject({
    message: 'ended',
    fields: { decision: 'me-1', requestId: 'envoy-1' },
  });
});

describe('the end of a stream', () => {
  it('releases the lease once, however often it is told', () => {
    const bench = new Workbench().withNodes({ n1: WARM });
    const { id } = bench.route(request());
    bench.route(request());
    bench.finish(id);
    bench.finish(id);
    expect(bench.ledger.onNode('n1')).toBe(1);
  });

  it('of an unknown decision changes nothing', () => {
    const bench = new Workbench().withNodes({ n1: WARM });
    bench.route(request());
    bench.finish('other-1');
    expect(bench.ledger.size).toBe(1);
  });

  it('marks the decision with the first time it was told', async () => {
    const bench = new Workbench().withNodes({ n1: WARM });
    const { id } = bench.route(request());
    bench.finish(id);
    await bench.clock.advance(500);
    bench.finish(id);
    expect(bench.decisions.find(id)?.finishedAt).toBe(1_000);
  });
});
