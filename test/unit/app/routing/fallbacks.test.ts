import { beforeEach, describe, expect, it } from 'vitest';
import { parseModelName } from '../../../../src/request/model-name.ts';
import { onDisk, resident } from '../../fleet/builders.ts';
import { request } from '../../routing/builders.ts';
import { type Visit, Workbench } from '../workbench.ts';

const BIG = 'big:latest';
const SMALL = 'small:latest';

describe('a request that several models may answer', () => {
  let bench: Workbench;

  /** The big model is on n1, the small one on n2; one slot each. */
  beforeEach(() => {
    bench = new Workbench({
      routing: { targets: () => [parseModelName('gone'), parseModelName('big'), parseModelName('small')] },
    });
    bench.withNodes({ n1: [resident(BIG)], n2: [resident(SMALL)] }, { slots: 1 });
    bench.fleet.observe('n1', { kind: 'tags', models: [onDisk(BIG)], rttMs: 1 });
    bench.fleet.observe('n2', { kind: 'tags', models: [onDisk(SMALL)], rttMs: 1 });
  });

  const served = ({ decision }: Visit): string | undefined =>
    bench.decisions.find(decision?.id ?? '')?.request.model.key;
  const ask = (maxWaitMs = 30_000): Visit =>
    bench.place(request({ model: parseModelName('gpt') }), { maxWaitMs });

  it('is answered by the first that there is, under its name', () => {
    const visit = ask();
    expect(served(visit)).toBe(BIG);
    expect(visit.decision?.edits).toEqual([{ field: 'model', to: 'big' }]);
    expect(bench.decisions.find(visit.decision?.id ?? '')?.asked).toBe('gpt:latest');
  });

  it('is answered by the next where all nodes of the first are down', () => {
    for (let i = 0; i < 2; i += 1)
      bench.fleet.observe('n1', { kind: 'poll_failed', reason: 'refused', detail: '' });
    expect(bench.fleet.snapshot().byId.get('n1')?.status).toBe('down');
    expect(served(ask())).toBe(SMALL);
  });

  it('is answered by the next where the first is full for longer than it may wait', () => {
    ask();
    expect(served(ask(1))).toBe(SMALL);
  });

  it('waits for the first where that is soon free enough', () => {
    const first = ask();
    const second = ask();
    expect(second.placed?.isWaiting).toBe(true);
    first.placed?.finish();
    expect(served(second)).toBe(BIG);
  });

  it('that waits turns to the next in time when the first does not come free', async () => {
    ask();
    const second = ask(20_000);
    expect(second.placed?.isWaiting).toBe(true);
    await bench.clock.advance(20_000);
    expect(second.refusal).toBeUndefined();
    expect(served(second)).toBe(SMALL);
  });

  it('waits for whichever comes first where all are full', async () => {
    ask();
    const [, small] = [ask(1), bench.ledger.held().find(({ node }) => node === 'n2')];
    const waiting = ask();
    expect(waiting.placed?.isWaiting).toBe(true);
    bench.finish(small?.id ?? '');
    await bench.clock.advance(30_000);
    expect(served(waiting)).toBe(SMALL);
  });
});
