import { describe, expect, it } from 'vitest';
import { QueryGuard } from '../../../../src/app/query-guard.ts';
import { DEFAULT_ROUTING } from '../../../../src/routing/params.ts';
import { resident } from '../../fleet/builders.ts';
import { MODEL, request } from '../../routing/builders.ts';
import { type Visit, Workbench } from '../workbench.ts';

const WARM = [resident(MODEL)];

function crowd(bench: Workbench, count: number): Visit[] {
  return Array.from({ length: count }, () => bench.place(request(), { maxWaitMs: 600_000 }));
}

function dies(bench: Workbench, node: string): void {
  for (let i = 0; i < 2; i += 1) {
    bench.fleet.observe(node, {
      kind: 'attempt_failed',
      model: MODEL,
      reason: 'refused',
      retryAfterMs: undefined,
    });
  }
}

function sent(visits: readonly Visit[]): number {
  return visits.filter(({ decision }) => decision !== undefined).length;
}

describe('while requests wait', () => {
  it('and the whole fleet dies, all of them are answered soon, by the last that may be alive', async () => {
    const bench = new Workbench().withNodes({ n1: WARM }, { slots: 1 });
    bench.place(request());
    const waiting = crowd(bench, 50);
    dies(bench, 'n1');
    expect(bench.fleet.snapshot().byId.get('n1')?.status).toBe('down');
    await bench.clock.advance(1_000);
    expect(sent(waiting)).toBe(0);
    await bench.clock.advance(2_500);
    expect(sent(waiting)).toBe(50);
    expect(bench.router.waiting).toBe(0);
  });

  it('F68 G11: a node that comes back gets no more of them than it is trusted with', async () => {
    const slots = 4;
    const bench = new Workbench().withNodes({ n1: WARM, n2: WARM }, { slots });
    dies(bench, 'n2');
    crowd(bench, slots);
    crowd(bench, 40);
    expect(bench.router.waiting).toBe(40);
    let most = 0;
    let whole = 0;
    for (let i = 0; i < 1_200; i += 1) {
      bench.fleet.observe('n2', { kind: 'resident', models: WARM, rttMs: 1 });
      bench.fleet.observe('n1', { kind: 'resident', models: WARM, rttMs: 1 });
      await bench.clock.advance(100);
      const view = bench.fleet.snapshot().byId.get('n2');
      const admitted = view?.status === 'ready' ? Math.max(1, Math.floor(slots * view.admission)) : 0;
      const running = bench.ledger.onModel('n2', MODEL);
      expect(running).toBeLessThanOrEqual(admitted);
      most = Math.max(most, running);
      if (view?.admission === 1 && view.status === 'ready') whole += 1;
      if (whole > 20) break;
    }
    expect(most).toBe(slots);
  });

  it('F57: a body that was condemned meanwhile is refused, not sent to a third node', async () => {
    const guard = new QueryGuard();
    const bench = new Workbench({ routing: { guard } }).withNodes(
      { n1: WARM, n2: WARM, n3: WARM },
      { slots: 1 },
    );
    crowd(bench, 3);
    const [occupant] = bench.decisions.recent(3);
    const body = { fingerprint: 'f1' };
    const waiting = bench.place(request(body));
    expect(bench.router.waiting).toBe(1);
    for (const node of ['n1', 'n2']) guard.failed(body.fingerprint, node, 'reset', bench.clock.now());
    bench.finish(occupant?.id ?? '');
    await bench.clock.advance(10);
    expect(waiting.decision).toBeUndefined();
    expect(waiting.refusal?.code).toBe('query_of_death');
  });
});

it('a thousand who ask for a thousand contexts are served in turn, and cost each free slot a few rankings', async () => {
  let rankings = 0;
  const params = () => {
    rankings += 1;
    return DEFAULT_ROUTING;
  };
  const bench = new Workbench({ routing: { params }, kept: 2_000 }).withNodes({ n1: WARM }, { slots: 1 });
  let running: Visit | undefined = bench.place(request());
  const waiting = Array.from({ length: 1_000 }, (_, i) =>
    bench.place(request({ numCtx: 100 + i }), { maxWaitMs: 600_000 }),
  );
  const order: Visit[] = [];
  let most = 0;
  while (running !== undefined) {
    rankings = 0;
    running.placed?.finish();
    most = Math.max(most, rankings);
    running = waiting.find((visit) => visit.decision !== undefined && !order.includes(visit));
    if (running !== undefined) order.push(running);
  }
  expect(order).toEqual(waiting);
  expect(most).toBeLessThan(200);
});
