import { describe, expect, it } from 'vitest';
import { NO_USAGE } from '../../../src/app/no-usage.ts';
import { serviceTimes } from '../../../src/app/service-times.ts';
import type { Outcome } from '../../../src/app/types.ts';
import type { ServiceTimes } from '../../../src/fleet/types.ts';
import { onDisk, resident } from '../fleet/builders.ts';
import { MODEL, request } from '../routing/builders.ts';
import { address, Workbench } from './workbench.ts';

const WARM = [resident(MODEL)];
const OUTCOME: Outcome = {
  decisionId: undefined,
  path: '/v1/chat/completions',
  method: 'POST',
  status: 200,
  details: 'via_upstream',
  flags: [],
  address: address(1),
  attempts: 1,
  firstByteMs: undefined,
  totalMs: 1_000,
  requestBytes: 300,
  responseBytes: 2_000,
  usage: NO_USAGE,
  end: 'complete',
};
const STREAM = { family: 'openai' as const, path: '/v1/chat/completions', stream: true };

/** One node with the model in memory and four slots, or two nodes. */
function bench(...others: string[]): Workbench {
  return new Workbench().withNodes(Object.fromEntries(['n1', ...others].map((id) => [id, WARM])), {
    slots: 4,
  });
}

function times(of: Workbench, id: string, outcome: Partial<Outcome> = {}, node = 'n1'): ServiceTimes {
  const decision = of.decisions.find(id);
  if (decision === undefined) throw new Error('no such decision');
  return serviceTimes(decision, node, { ...OUTCOME, ...outcome }, of);
}

describe('the company of an answer', () => {
  it('is every earlier request that still ran when it began', async () => {
    const of = bench();
    const [first, second, third] = [1, 2, 3].map(() => of.route(request(STREAM)).id);
    if (first === undefined || second === undefined || third === undefined)
      throw new Error('three were sent');
    await of.clock.advance(1_000);
    of.finish(first);
    await of.clock.advance(1_000);
    of.finish(third);
    // It ran for 2 s. Its first byte came after 0.5 s, when both others ran; after 1.5 s, when one did.
    expect(times(of, third, { totalMs: 2_000, firstByteMs: 500 })).toMatchObject({
      concurrency: 3,
      servedBeside: 2,
    });
    expect(times(of, third, { totalMs: 2_000, firstByteMs: 1_500 })).toMatchObject({ servedBeside: 1 });
    expect(times(of, second, { totalMs: 2_000, firstByteMs: 500 })).toMatchObject({
      concurrency: 2,
      servedBeside: 1,
    });
    expect(times(of, first, { totalMs: 1_000, firstByteMs: 500 })).toMatchObject({
      concurrency: 1,
      servedBeside: 0,
    });
  });

  it('of an answer in one piece is who still ran at its end', async () => {
    const of = bench();
    const [first, second] = [of.route(request()).id, of.route(request({ stream: false })).id];
    await of.clock.advance(1_000);
    of.finish(second);
    expect(times(of, second).servedBeside).toBe(1);
    of.finish(first);
    expect(times(of, second).servedBeside).toBe(0);
  });

  it('are not those that went on to another node meanwhile, or ended at about the same time', async () => {
    const of = bench('n2');
    const requests = [1, 2, 3, 4].map(() => of.route(request(STREAM)).id);
    const onFirst = requests.filter((id) => of.ledger.find(id)?.node === 'n1');
    const [early, late] = onFirst;
    if (early === undefined || late === undefined) throw new Error('n1 got two of four');
    await of.clock.advance(1_000);
    of.finish(late);
    expect(times(of, late, { totalMs: 1_000, firstByteMs: 100 }).servedBeside).toBe(1);
    of.failed(early, address(1), { reason: 'timeout' });
    expect(times(of, late, { totalMs: 1_000, firstByteMs: 100 }).servedBeside).toBe(0);
    const close = bench();
    const [one, two] = [close.route(request(STREAM)).id, close.route(request(STREAM)).id];
    await close.clock.advance(1_000);
    close.finish(one);
    await close.clock.advance(1_000);
    close.finish(two);
    expect(times(close, two, { totalMs: 2_000, firstByteMs: 1_020 }).servedBeside).toBe(0);
    expect(times(close, two, { totalMs: 2_000, firstByteMs: 980 }).servedBeside).toBe(0);
    expect(times(close, two, { totalMs: 2_000, firstByteMs: 900 }).servedBeside).toBe(1);
  });

  it('is not known where other control planes use the node, unless all of ours still ran', async () => {
    const of = bench();
    of.ledger.elsewhere.set('other', [['n1', MODEL, 1]]);
    const [first, second] = [of.route(request(STREAM)).id, of.route(request(STREAM)).id];
    await of.clock.advance(1_000);
    of.finish(second);
    expect(times(of, second, { firstByteMs: 100 })).toMatchObject({ concurrency: 3, servedBeside: 1 });
    of.finish(first);
    expect(times(of, second, { firstByteMs: 990 }).servedBeside).toBeUndefined();
  });

  it('on a node that was tried later is who was there then', async () => {
    const of = bench('n2');
    of.ledger.take('another', 'n2', 'other:latest', 0);
    const moved = of.route(request(STREAM)).id;
    expect(of.ledger.find(moved)?.node).toBe('n1');
    await of.clock.advance(5_000);
    of.failed(moved, address(1), { reason: 'timeout' });
    await of.clock.advance(700);
    of.finish(moved);
    const seen = times(
      of,
      moved,
      { address: address(2), attempts: 2, totalMs: 5_700, firstByteMs: 5_200 },
      'n2',
    );
    expect(seen).toMatchObject({
      concurrency: 1,
      besideOthers: 1,
      servedBeside: 0,
      totalMs: 700,
      firstByteMs: 200,
    });
  });
});

describe('the times of an answer', () => {
  it('leave out the wait in our own line', () => {
    const of = bench();
    const { id } = of.route(request(STREAM));
    const decision = of.decisions.find(id);
    if (decision === undefined) throw new Error('it was decided');
    const waited = Object.assign(Object.create(Object.getPrototypeOf(decision)), decision, { waitedMs: 400 });
    expect(serviceTimes(waited, 'n1', { ...OUTCOME, firstByteMs: 500 }, of)).toMatchObject({
      totalMs: 600,
      firstByteMs: 100,
    });
  });

  it('have no first byte where it comes with the whole answer', () => {
    const of = bench();
    const whole = of.route(request({ ...STREAM, stream: false })).id;
    expect(times(of, whole, { firstByteMs: 990 }).firstByteMs).toBeUndefined();
    const embed = of.route(request({ operation: 'embed', path: '/api/embed' })).id;
    expect(times(of, embed, { firstByteMs: 990 }).firstByteMs).toBeUndefined();
  });

  it('are the node’s own where it tells them, with the hour of the end', async () => {
    const of = bench();
    const { id } = of.route(request());
    const before = of.clock.date().getTime();
    await of.clock.advance(2_000);
    of.finish(id);
    await of.clock.advance(300);
    const usage = { ...OUTCOME.usage, totalMs: 1_950, loadMs: 4, promptEvalMs: 46, evalMs: 1_900 };
    expect(times(of, id, { totalMs: 2_000, usage })).toMatchObject({
      totalMs: 1_950,
      evalMs: 1_900,
      endedAt: before + 2_000,
    });
  });
});

describe('what the request was', () => {
  it('goes with the times: prompt, context as it went out, what was cached', () => {
    const of = bench();
    const prefixes = [{ hash: 7, bytes: 150 }];
    of.prompts.note('n1', MODEL, prefixes, 4, of.clock.now());
    const { id } = of.route(request({ promptBytes: 200, prefixes, numCtx: 4_096 }));
    expect(times(of, id)).toMatchObject({
      isWork: true,
      numCtx: 4_096,
      promptBytes: 200,
      cachedBytes: 150,
      prefixes,
      wasWarm: true,
    });
    const decision = of.decisions.find(id);
    const edits = [{ field: 'num_ctx', to: 8_192 }];
    const edited = Object.assign(Object.create(Object.getPrototypeOf(decision)), decision, { edits });
    expect(serviceTimes(edited, 'n1', OUTCOME, of).numCtx).toBe(8_192);
  });

  it.each([
    { name: 'a description', fields: { operation: 'show' as const, path: '/api/show' } },
    { name: 'a bare load', fields: { isEmpty: true } },
  ])('is no work where it was $name: no figure comes from it', ({ fields }) => {
    const of = bench();
    const { id } = of.route(request(fields));
    of.ended(id, { totalMs: 2 });
    expect(of.fleet.nodes.get('n1')?.learnt.figures.size).toBe(0);
    expect(of.fleet.nodes.get('n1')?.health.servedAt).toBe(of.clock.now());
  });

  it('is in the figures of the node that answered', () => {
    const of = bench();
    const { id } = of.route(request({ numCtx: 4_096, promptBytes: 2_000 }));
    const usage = {
      promptTokens: 500,
      completionTokens: 60,
      totalMs: 3_300,
      loadMs: 5,
      promptEvalMs: 250,
      evalMs: 3_000,
    };
    of.ended(id, { totalMs: 3_310, usage });
    const figures = [...(of.fleet.nodes.get('n1')?.learnt.figures.values() ?? [])];
    expect(figures.map(({ answerTokens }) => answerTokens?.value)).toEqual([60, 60, 60]);
    expect(figures[1]).toMatchObject({
      promptRate: { value: 2_000 },
      answerRates: [{ value: 20 }],
      bytesPerToken: { value: 4 },
    });
  });

  it('teaches nothing where the model is gone after it, but does where its keep_alive was raised', () => {
    const of = bench();
    of.ended(of.route(request({ unloads: true })).id);
    expect(of.fleet.nodes.get('n1')?.learnt.figures.size).toBe(0);
    const raised = new Workbench({
      routing: { rewriting: { check: () => {}, edits: () => [{ field: 'keep_alive', to: 300 }] } },
    }).withNodes({ n1: WARM });
    raised.ended(raised.route(request({ unloads: true })).id);
    expect(raised.fleet.nodes.get('n1')?.learnt.figures.size).toBeGreaterThan(0);
  });
});

describe('the memory of prompts', () => {
  const prefixes = [
    { hash: 1, bytes: 100 },
    { hash: 2, bytes: 900 },
  ];
  const cached = (of: Workbench, node = 'n1') =>
    of.prompts.cachedBytes(node, MODEL, prefixes, of.clock.now());

  it('hears what a node has read, also when the client hung up during the answer', () => {
    const of = bench();
    of.ended(of.route(request({ prefixes })).id);
    expect(cached(of)).toBe(900);
    const hungUp = bench();
    hungUp.ended(hungUp.route(request({ prefixes })).id, { end: 'client_gone' });
    expect(cached(hungUp)).toBe(900);
  });

  it.each([
    { name: 'broke off', fields: { end: 'truncated' as const } },
    { name: 'was refused by the node', fields: { status: 400 } },
    { name: 'never began', fields: { end: 'client_gone' as const, responseBytes: 0 } },
  ])('hears nothing of an answer that $name', ({ fields }) => {
    const of = bench();
    of.ended(of.route(request({ prefixes })).id, fields);
    expect(cached(of)).toBe(0);
  });

  it('forgets all of a model that was unloaded', () => {
    const of = bench();
    of.ended(of.route(request({ prefixes })).id);
    of.ended(of.route(request({ unloads: true })).id);
    expect(cached(of)).toBe(0);
  });

  it('forgets what a model had read before it was loaded anew', () => {
    const of = bench();
    const { id } = of.route(request({ prefixes }));
    of.finish(id);
    of.ended(id);
    expect(cached(of)).toBe(900);
    of.ended(of.route(request({ prefixes: [{ hash: 9, bytes: 50 }] })).id, { usage: { loadMs: 4_000 } });
    expect(cached(of)).toBe(0);
    expect(of.prompts.cachedBytes('n1', MODEL, [{ hash: 9, bytes: 50 }], of.clock.now())).toBe(50);
  });
});

describe('F54 F55: a model whose answers break on one node', () => {
  it.each(['in_band_error', 'truncated'] as const)(
    'is sent to another one after three times, while its other models stay: %s',
    (end) => {
      const other = 'other:latest';
      const of = new Workbench().withNodes({
        n1: [resident(MODEL), resident(other)],
        n2: [resident(other)],
      });
      for (const id of ['n1', 'n2'])
        of.fleet.observe(id, { kind: 'tags', models: [onDisk(MODEL), onDisk(other)], rttMs: 1 });
      for (let i = 0; i < 3; i += 1) {
        const decision = of.route(request());
        expect(decision.addresses[0]).toBe(address(1));
        of.finish(decision.id);
        of.ended(decision.id, { end });
        // Others are served between, so that the node itself is known to be well.
        const fine = of.route(request({ model: { raw: other, key: other } }));
        of.finish(fine.id);
        of.ended(fine.id, {
          address: address(1),
          usage: { loadMs: 1, promptEvalMs: 5, evalMs: 100, totalMs: 106 },
        });
      }
      expect(of.route(request()).addresses[0]).toBe(address(2));
      expect(of.fleet.snapshot().byId.get('n1')?.status).toBe('ready');
      const view = of.router.preview(request({ model: { raw: other, key: other } }));
      expect(view.ranking.nodes.find(({ id }) => id === 'n1')?.terms.trust).toBeLessThan(1);
    },
  );
});

it('the figures of a node are told for a model of 4 GiB, whatever served', () => {
  const of = bench();
  of.fleet.observe('n1', { kind: 'tags', models: [onDisk(MODEL, { sizeBytes: 8 * 1024 ** 3 })], rttMs: 1 });
  of.ended(of.route(request()).id, { usage: { completionTokens: 100, evalMs: 1_000 } });
  const [all] = of.fleet.nodes.get('n1')?.learnt.figures.values() ?? [];
  expect(all?.answerRates[0]?.value).toBeCloseTo(200);
});
