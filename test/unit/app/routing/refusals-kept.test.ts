import { describe, expect, it } from 'vitest';
import { RouterError } from '../../../../src/request/errors.ts';
import { resident } from '../../fleet/builders.ts';
import { MODEL, request } from '../../routing/builders.ts';
import { Workbench } from '../workbench.ts';

const UNKNOWN = request({ model: { raw: 'Nope', key: 'nope:latest' } });

/** What is remembered of the refusal that the asker was told of. */
function refused(bench: Workbench, asked = request()) {
  const { refusal, refusalId } = bench.place(asked, { maxWaitMs: 0 });
  expect(refusal).toBeDefined();
  return bench.decisions.find(refusalId ?? '')?.toRecord();
}

describe('a refusal', () => {
  it('is remembered by the id that its asker is told, with what stood against each node', () => {
    const bench = new Workbench().withNodes({ n1: [resident(MODEL)], n2: [] }, { drain: true });
    const record = refused(bench);
    expect(record).toMatchObject({
      asked: MODEL,
      model: MODEL,
      caller: { id: '10.9.9.9' },
      waitedMs: 0,
      refusal: { code: 'no_node' },
      attempts: [],
      ranking: {
        nodes: [],
        rejected: [
          { id: 'n1', reason: 'draining' },
          { id: 'n2', reason: 'draining' },
        ],
      },
    });
    expect(bench.decisions.recent(1)).toEqual([record]);
    expect(bench.decisions.openCount).toBe(0);
  });

  it('of a request that waited names the nodes that it waited for, and how long', async () => {
    const bench = new Workbench().withNodes({ n1: [resident(MODEL)] }, { slots: 1 });
    bench.route(request());
    const late = bench.place(request(), { maxWaitMs: 3_000 });
    await bench.clock.advance(3_000);
    expect(bench.decisions.find(late.refusalId ?? '')?.toRecord()).toMatchObject({
      waitedMs: 3_000,
      refusal: { code: 'no_slot_in_time', message: late.refusal?.message },
      ranking: { nodes: [{ id: 'n1', reason: 'warm_busy' }] },
    });
  });

  it('that no node could have changed names none', () => {
    const guard = {
      check: () => {
        throw new RouterError('query_of_death', 'it killed two nodes');
      },
      attemptsLeft: () => 1,
    };
    const bench = new Workbench({ routing: { guard } }).withNodes({ n1: [resident(MODEL)] });
    expect(refused(bench)).toMatchObject({
      refusal: { code: 'query_of_death', message: 'it killed two nodes' },
      ranking: { nodes: [], rejected: [] },
    });
  });

  it('costs a ranking only now and then: a flood of them is remembered without', async () => {
    const bench = new Workbench({ kept: 100 }).withNodes({ n1: [resident(MODEL)] });
    const explained = () => refused(bench, UNKNOWN)?.ranking.rejected.length;
    expect(Array.from({ length: 50 }, explained)).toEqual([1, ...new Array(49).fill(0)]);
    await bench.clock.advance(250);
    expect(explained()).toBe(1);
  });

  it('leaves no lease, and nobody in the line', () => {
    const bench = new Workbench().withNodes({ n1: [resident(MODEL)] });
    refused(bench, UNKNOWN);
    expect(bench.ledger.size).toBe(0);
    expect(bench.router.waiting).toBe(0);
  });
});

it('a preview of what no node can take says what a client would be told', () => {
  const bench = new Workbench().withNodes({ n1: [resident(MODEL)] });
  const { ranking, refusal } = bench.router.preview(UNKNOWN);
  expect(refusal?.code).toBe('model_not_found');
  expect(ranking).toEqual({ nodes: [], rejected: [{ id: 'n1', reason: expect.any(String) }] });
  expect(bench.decisions.recent(1)).toEqual([]);
});
