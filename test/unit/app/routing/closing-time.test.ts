import { beforeEach, describe, expect, it } from 'vitest';
import { errorReply } from '../../../../src/app/error-reply.ts';
import type { SlotClaims } from '../../../../src/app/routing/claims.ts';
import { ClosingTime } from '../../../../src/app/routing/closing-time.ts';
import { parseModelName } from '../../../../src/request/model-name.ts';
import { onDisk, resident } from '../../fleet/builders.ts';
import { MODEL, request } from '../../routing/builders.ts';
import { address, type Visit, Workbench } from '../workbench.ts';

const WARM = [resident(MODEL)];
/** A drain that closes the line after 28 s. */
const DRAIN_MS = 30_000;
const CLOSES_MS = 28_000;
const PATIENT = { maxWaitMs: 600_000 };

let closing: ClosingTime;
let bench: Workbench;
beforeEach(() => {
  closing = new ClosingTime();
  bench = oneSlot();
});

/** One warm node with one slot. */
function oneSlot(claims?: SlotClaims): Workbench {
  return new Workbench({ routing: { closing, claims } }).withNodes({ n1: WARM }, { slots: 1 });
}

function drains(): void {
  closing.endsIn(DRAIN_MS, bench.clock.now(), 'ends');
}

/** What has become of it when the line has closed. */
async function closedOn(visit: Visit): Promise<Visit> {
  drains();
  await bench.clock.advance(CLOSES_MS);
  return visit;
}

function isWaiting(visit: Visit): boolean {
  return visit.decision === undefined && visit.refusal === undefined && visit.placed?.isWaiting === true;
}

/** Requests of the model take 10 s, which is known well then. */
async function learn(): Promise<void> {
  const usage = { loadMs: 1, promptEvalMs: 100, evalMs: 9_800, promptTokens: 20, completionTokens: 200 };
  for (let i = 0; i < 10; i += 1) {
    const served = bench.place(request());
    await bench.clock.advance(10_000);
    served.placed?.finish();
    bench.ended(served.decision?.id, { totalMs: 10_000, usage: { totalMs: 10_000, ...usage } });
  }
}

describe('the line closes', () => {
  it('two seconds before the end, and never later than was said before', () => {
    const told: number[] = [];
    closing.onChange(() => told.push(closing.at));
    closing.endsIn(30_000, 1_000, 'ends');
    closing.endsIn(30_000, 2_000, 'stays');
    closing.endsIn(8_000, 2_000, 'ends');
    expect(told).toEqual([29_000, 8_000]);
  });

  it('and refuses who waits as soon as the proxy is known to end too', () => {
    closing.endsIn(30_000, 1_000, 'stays');
    expect(closing.refusesAt).toBe(Number.POSITIVE_INFINITY);
    closing.endsIn(60_000, 1_000, 'ends');
    closing.endsIn(20_000, 1_000, 'stays');
    expect([closing.at, closing.refusesAt]).toEqual([19_000, 19_000]);
  });

  it('after three quarters of a drain that is short', () => {
    closing.endsIn(2_000, 1_000, 'ends');
    expect(closing.at).toBe(2_500);
  });

  it('never, while no end is known of', async () => {
    bench.place(request());
    const waiting = bench.place(request(), PATIENT);
    await bench.clock.advance(599_999);
    expect(isWaiting(waiting)).toBe(true);
  });
});

describe('a request that waits when the server is told to stop', () => {
  it('is told before the end that its turn will not come, and what runs goes on', async () => {
    const running = bench.place(request());
    const waiting = [bench.place(request(), PATIENT), bench.place(request(), { ...PATIENT, id: 'other' })];
    drains();
    await bench.clock.advance(CLOSES_MS - 1);
    expect(waiting.map(isWaiting)).toEqual([true, true]);
    await bench.clock.advance(1);
    for (const { refusal } of waiting)
      expect(refusal).toMatchObject({
        code: 'shutting_down',
        message: "server is shutting down, please try again: no node becomes free for 'm' before that",
        retryAfterSeconds: 5,
      });
    expect(running.placed?.isWaiting).toBe(false);
    expect(bench.ledger.onModel('n1', MODEL)).toBe(1);
    expect([bench.router.waiting, bench.clock.pending]).toEqual([0, 0]);
  });

  it('is told so with 503 and Retry-After in the words of each API', async () => {
    bench.place(request());
    const { refusal } = await closedOn(bench.place(request(), PATIENT));
    if (refusal === undefined) throw new Error('not refused');
    for (const family of ['ollama', 'openai', 'anthropic'] as const) {
      const { status, headers, body } = errorReply(refusal, family);
      expect(status, family).toBe(503);
      expect(headers, family).toMatchObject({ 'retry-after': '5', 'x-warmpath-error': 'shutting_down' });
      expect(body, family).toContain('server is shutting down');
    }
  });

  it('is served where its turn comes before', async () => {
    const running = bench.place(request());
    const waiting = bench.place(request(), PATIENT);
    drains();
    await bench.clock.advance(CLOSES_MS - 1);
    running.placed?.finish();
    expect(waiting.decision?.addresses).toEqual([address(1)]);
    await bench.clock.advance(1_000);
    expect(bench.clock.pending).toBe(0);
    expect(waiting.refusal).toBeUndefined();
  });

  it('hears of its own time where that is up before', async () => {
    bench.place(request());
    const waiting = bench.place(request(), { maxWaitMs: 2_000 });
    drains();
    await bench.clock.advance(2_000);
    expect(waiting.refusal?.code).toBe('no_slot_in_time');
  });

  it('for a load is given no more time than that', async () => {
    bench.withNodes({ n1: [] }, { slots: 1 });
    bench.place(request());
    const waiting = bench.place(request(), { maxWaitMs: 25_000 });
    drains();
    await bench.clock.advance(CLOSES_MS - 1);
    expect(isWaiting(waiting)).toBe(true);
    await bench.clock.advance(1);
    expect(waiting.refusal?.code).toBe('shutting_down');
  });

  it('and cannot begin before, as is certain by then, is told as soon as that is seen', async () => {
    await learn();
    bench.place(request());
    const waiting = Array.from({ length: 8 }, () => bench.place(request(), PATIENT));
    drains();
    await bench.clock.advance(1_000);
    // The first of them have 28 s for one answer of 10 s after the other; the doubt is theirs.
    expect(isWaiting(waiting[0] as Visit)).toBe(true);
    expect(waiting.at(-1)?.refusal?.code).toBe('shutting_down');
  });

  it('takes the second best of its models where that is free', async () => {
    const targets = () => [parseModelName('big'), parseModelName('small')];
    bench = new Workbench({ routing: { closing, targets } });
    bench.withNodes({ n1: [resident('big:latest')], n2: [resident('small:latest')] }, { slots: 1 });
    bench.fleet.observe('n1', { kind: 'tags', models: [onDisk('big:latest')], rttMs: 1 });
    bench.fleet.observe('n2', { kind: 'tags', models: [onDisk('small:latest')], rttMs: 1 });
    bench.place(request(), PATIENT);
    const waiting = bench.place(request(), PATIENT);
    expect(isWaiting(waiting)).toBe(true);
    expect((await closedOn(waiting)).decision?.addresses).toEqual([address(2)]);
  });
});

describe('a request that comes while the server stops', () => {
  it('waits until the line closes, and no longer', async () => {
    bench.place(request());
    drains();
    await bench.clock.advance(20_000);
    const late = bench.place(request(), PATIENT);
    expect(isWaiting(late)).toBe(true);
    await bench.clock.advance(8_000);
    expect(late.refusal?.code).toBe('shutting_down');
    expect(bench.clock.pending).toBe(0);
  });

  it('is refused at once where it certainly would wait for longer', async () => {
    await learn();
    drains();
    await bench.clock.advance(CLOSES_MS - 4_000);
    bench.place(request());
    const late = bench.place(request(), PATIENT);
    expect(late.refusal).toMatchObject({ code: 'shutting_down', retryAfterSeconds: 5 });
  });

  it('hears that its own time does not suffice where that is the shorter one', async () => {
    await learn();
    drains();
    await bench.clock.advance(CLOSES_MS - 4_000);
    bench.place(request());
    expect(bench.place(request(), { maxWaitMs: 2_000 }).refusal?.code).toBe('no_slot_in_time');
  });

  it('is refused at once after the line has closed, unless it need not wait', async () => {
    drains();
    await bench.clock.advance(CLOSES_MS);
    const first = bench.place(request(), PATIENT);
    expect(first.decision).toBeDefined();
    expect(bench.place(request(), PATIENT).refusal?.code).toBe('shutting_down');
    expect(bench.place(request(), { maxWaitMs: 0 }).decision).toBeDefined();
    expect(bench.clock.pending).toBe(0);
  });
});

describe('where the proxy stays when the server ends', () => {
  function proxyStays(): void {
    closing.endsIn(DRAIN_MS, bench.clock.now(), 'stays');
  }

  it('who still waits is sent to its best node, with what must be changed, and waits there', async () => {
    const edits = [{ field: 'num_ctx', to: 4_096 }] as const;
    bench = new Workbench({ routing: { closing, rewriting: { check: () => {}, edits: () => edits } } });
    bench.withNodes({ n1: WARM }, { slots: 1 });
    bench.place(request(), PATIENT);
    const waiting = [bench.place(request(), PATIENT), bench.place(request(), PATIENT)];
    proxyStays();
    await bench.clock.advance(CLOSES_MS - 1);
    expect(waiting.map(isWaiting)).toEqual([true, true]);
    await bench.clock.advance(1);
    for (const { decision } of waiting) expect(decision).toMatchObject({ edits, addresses: [address(1)] });
    expect(bench.ledger.size).toBe(3);
    expect([bench.router.waiting, bench.clock.pending]).toEqual([0, 0]);
  });

  it('who has no node left is refused for that', async () => {
    bench.place(request());
    const waiting = bench.place(request(), PATIENT);
    proxyStays();
    await bench.clock.advance(CLOSES_MS - 1);
    bench.fleet.observe('n1', { kind: 'tags', models: [onDisk('other:latest')], rttMs: 1 });
    bench.fleet.observe('n1', { kind: 'resident', models: [], rttMs: 1 });
    await bench.clock.advance(1);
    expect(waiting.refusal?.code).toBe('model_not_found');
  });

  it('nobody is turned away early, and newcomers after that do not wait', async () => {
    await learn();
    bench.place(request());
    proxyStays();
    await bench.clock.advance(CLOSES_MS - 4_000);
    const late = bench.place(request(), PATIENT);
    expect(isWaiting(late)).toBe(true);
    await bench.clock.advance(4_000);
    expect(late.decision).toBeDefined();
    expect(bench.place(request(), PATIENT).decision).toBeDefined();
  });
});

describe('a slot that is being claimed when the line closes', () => {
  async function claiming(stop = drains) {
    const answers: ((isOurs: boolean) => void)[] = [];
    bench = oneSlot({ claim: () => new Promise((answer) => answers.push(answer)) });
    const running = bench.place(request());
    const waiting = bench.place(request(), PATIENT);
    stop();
    await bench.clock.advance(CLOSES_MS - 1);
    running.placed?.finish();
    await bench.clock.advance(100);
    expect(isWaiting(waiting)).toBe(true);
    const [answer] = answers;
    if (answer === undefined) throw new Error('nothing was claimed');
    return { waiting, answers, answer };
  }

  it('is still used', async () => {
    const { waiting, answer } = await claiming();
    answer(true);
    await bench.clock.advance(0);
    expect(waiting.decision).toBeDefined();
  });

  it('is not asked for again where it was not to be had', async () => {
    const { waiting, answers, answer } = await claiming();
    answer(false);
    await bench.clock.advance(0);
    expect(waiting.refusal?.code).toBe('shutting_down');
    await bench.clock.advance(1_000);
    expect([answers.length, bench.router.waiting, bench.clock.pending]).toEqual([1, 0, 0]);
  });
  it('and was not to be had sends it on all the same where the proxy stays', async () => {
    const { waiting, answer } = await claiming(() => closing.endsIn(DRAIN_MS, bench.clock.now(), 'stays'));
    answer(false);
    await bench.clock.advance(0);
    expect(waiting.decision).toBeDefined();
    expect([bench.router.waiting, bench.clock.pending]).toEqual([0, 0]);
  });
});
