import { describe, expect, it } from 'vitest';
import { NO_FIGURES } from '../../../src/fleet/figures.ts';
import type { NodeView } from '../../../src/fleet/types.ts';
import type { RouteRequest } from '../../../src/request/types.ts';
import { entryOf, rankedNode, totalSeconds } from '../../../src/routing/cost.ts';
import { factsOf } from '../../../src/routing/facts.ts';
import { DEFAULT_ROUTING as P } from '../../../src/routing/params.ts';
import { questionOf } from '../../../src/routing/question.ts';
import { NOTHING_SHOWN } from '../../../src/routing/service.ts';
import type { Inflight, Situation } from '../../../src/routing/types.ts';
import {
  ending,
  GIB,
  MODEL,
  NOW,
  node,
  onDisk,
  request,
  resident,
  running,
  situation,
  snapshot,
  warmNode,
} from './builders.ts';

const IDLE = running();

function cost(
  view: NodeView,
  inflight: Inflight = IDLE,
  asked: RouteRequest = request(),
  others: Partial<Situation> = {},
) {
  const question = questionOf(asked, situation(snapshot(view), { inflight, ...others }), 0);
  const { terms, reason, startsNow, ...expected } = rankedNode(
    entryOf(factsOf(question, view), question, NOTHING_SHOWN),
    0,
    question,
    false,
  );
  return { ...terms, reason, startsNow, expected };
}

/** What a request for the model takes on an idle node, with nothing in its way. */
const { prompt: PROMPT, answer: ANSWER } = cost(warmNode('n1'));
const HELD = PROMPT + ANSWER;
const LOAD = cost(node('n1')).load;

describe('round trip', () => {
  it('is the network', () => {
    expect(cost(warmNode('n1', { rttMs: 101 })).roundTrip).toBeCloseTo(0.101);
    expect(cost(node('n1', { rttMs: 4 }), IDLE, request({ operation: 'show' })).roundTrip).toBe(0.004);
  });
});

describe('prompt and answer', () => {
  it('grow with the text, and shrink with the weight of the node', () => {
    const long = cost(warmNode('n1'), IDLE, request({ promptBytes: 40_000 })).prompt;
    expect(long).toBeGreaterThan(PROMPT + 1);
    expect(cost(warmNode('n1', { weight: 2 })).answer).toBeCloseTo(ANSWER / 2);
    expect(cost(warmNode('n1', { weight: 2 }), IDLE, request({ promptBytes: 40_000 })).prompt).toBeLessThan(
      long,
    );
  });

  it('are cheaper where the node has read most of the prompt already', () => {
    const asked = request({ promptBytes: 16_000, prefixes: [{ hash: 1, bytes: 12_000 }] });
    const plain = cost(warmNode('n1'), IDLE, asked);
    const cached = cost(warmNode('n1'), IDLE, asked, { prompts: { cachedBytes: () => 12_000 } });
    const fresh = cost(warmNode('n1'), IDLE, request({ promptBytes: 4_000 }));
    expect(cached.prompt).toBeCloseTo(fresh.prompt);
    expect(cached.prompt).toBeLessThan(plain.prompt);
    expect(cached.expected.cachedBytes).toBe(12_000);
    // A load empties the cache.
    expect(cost(node('n1'), IDLE, asked, { prompts: { cachedBytes: () => 12_000 } }).prompt).toBe(
      plain.prompt,
    );
  });

  it("are slower beside other models' requests, which block nobody", () => {
    const view = warmNode('n1', { warm: [resident('other'), resident('third')] });
    const beside = (counts: Record<string, number>) => cost(view, running({ n1: counts }));
    expect(beside({ other: 2 }).slotWait).toBe(0);
    expect(beside({ other: 2 }).prompt).toBeCloseTo(PROMPT * (1 + P.contentionShare));
    expect(beside({ other: 2, third: 1 }).answer).toBeCloseTo(ANSWER * (1 + 2 * P.contentionShare));
  });

  it('make those later that run there already, which counts a little', () => {
    const others = cost(warmNode('n1', { warm: [resident('other')] }), running({ n1: { other: 2 } }));
    expect(others.eviction).toBeCloseTo(P.crowdingShare * 2 * P.contentionShare * HELD);
    const own = cost(warmNode('n1', { slots: 4 }), running({ n1: { [MODEL]: 1 } }));
    expect(own.eviction).toBeCloseTo(P.crowdingShare * P.slowdownPerRequest * own.expected.heldSeconds);
    expect(cost(warmNode('n1')).eviction).toBe(0);
  });

  it('make up what the client sees and how long the slot is held', () => {
    const { expected } = cost(warmNode('n1'), ending({ n1: { [MODEL]: [40] } }));
    expect(expected.firstTokenSeconds).toBeCloseTo(0.001 + 40 + PROMPT);
    expect(expected.completionSeconds).toBeCloseTo(0.001 + 40 + HELD);
    expect(expected.heldSeconds).toBeCloseTo(HELD);
    expect(cost(node('n1')).expected.heldSeconds).toBeCloseTo(LOAD + HELD);
  });
});

describe('slot wait', () => {
  const on = (count: number): Inflight => running({ n1: { [MODEL]: count } });

  it.each([
    { slots: 1, busy: 0, want: 0 },
    { slots: 1, busy: 1, want: 1 },
    { slots: 1, busy: 3, want: 3 },
    { slots: 4, busy: 3, want: 0 },
    { slots: 4, busy: 4, want: 1 / 4 },
    { slots: 4, busy: 8, want: 5 / 4 },
    { slots: 0, busy: 0, want: 0 },
  ])(
    "$busy requests of other replicas on $slots slots take $want requests' time",
    ({ slots, busy, want }) => {
      const { slotWait, answer, prompt } = cost(warmNode('n1', { slots }), on(busy));
      expect(slotWait).toBeCloseTo(want * (answer + prompt));
    },
  );

  it('lasts until as many of our own requests are expected to end as stand before it', () => {
    const wait = (slots: number, ends: number[]) =>
      cost(warmNode('n1', { slots }), ending({ n1: { [MODEL]: ends } })).slotWait;
    expect(wait(1, [50])).toBeCloseTo(50);
    expect(wait(2, [50, 90])).toBeCloseTo(50);
    expect(wait(2, [50, 90, 99])).toBeCloseTo(90);
    expect(wait(3, [50, 90])).toBe(0);
  });

  it('of a late request is never 0, and grows the later it is', () => {
    const late = [0, -5, -50].map((end) => cost(warmNode('n1'), ending({ n1: { [MODEL]: [end] } })).slotWait);
    expect(late[0]).toBeGreaterThan(0);
    expect(late[1]).toBeGreaterThan(late[0] ?? 0);
    expect(late[2]).toBeGreaterThan(late[1] ?? 0);
  });

  it('counts those in the line that are due before', () => {
    const inflight = ending({ n1: { [MODEL]: [3 * HELD] } });
    const behind = cost(warmNode('n1'), inflight, request(), { waiting: { ahead: () => 2 } });
    expect(behind.slotWait).toBeCloseTo(3 * HELD + 2 * HELD);
  });

  it('knows how long requests for the model take, once it has seen some', () => {
    const estimate = { value: 20, spread: 1, weight: 50, at: 0 };
    const figures = { answerTokens: estimate, heldMs: undefined, loadMs: undefined, promptRate: undefined };
    const known = { ...figures, bytesPerToken: undefined, innerWaitMs: undefined, slots: undefined };
    const view = warmNode('n1', {
      figures: new Map([[MODEL, { ...known, answerRates: [], defaultContext: undefined }]]),
    });
    expect(cost(view, on(1)).slotWait).toBeLessThan(HELD / 5);
  });

  it('lets a few short requests stand in the queue of the node: its slots would be idle while the next one comes', () => {
    const seen = (value: number) => ({ value, spread: 0, weight: 50, at: 0 });
    const answering = (tokens: number, slots: number) =>
      warmNode('n1', {
        slots,
        slotsSource: 'configured',
        figures: new Map([
          [
            MODEL,
            {
              ...NO_FIGURES,
              innerWaitMs: seen(0.001),
              promptRate: seen(1e6),
              answerRates: [seen(1_000)],
              answerTokens: seen(tokens),
            },
          ],
        ]),
      });
    const admits = (view: NodeView) => {
      let count = 0;
      while (cost(view, on(count)).startsNow) count += 1;
      return count;
    };
    expect(admits(answering(10, 1))).toBeGreaterThan(1);
    expect(admits(answering(10, 4))).toBeGreaterThan(admits(answering(10, 1)));
    expect(admits(answering(0.01, 1))).toBe(5);
    expect(admits(answering(200, 1))).toBe(1);
    expect(admits(answering(2_000, 4))).toBe(4);
  });

  it('F68: takes a recovering node for smaller than it is', () => {
    const wait = (admission: number, busy: number) => cost(warmNode('n1', { slots: 4, admission }), on(busy));
    expect(wait(0.1, 1)).toMatchObject({ startsNow: false, reason: 'warm_busy' });
    expect(wait(0.5, 1)).toMatchObject({ startsNow: true, slotWait: 0 });
    expect(wait(0.5, 2)).toMatchObject({ startsNow: false });
    expect(wait(1, 3)).toMatchObject({ startsNow: true, slotWait: 0 });
    const trust = [0.1, 0.5, 1].map((admission) => wait(admission, 0).trust);
    expect(trust).toEqual([...trust].sort((a, b) => b - a));
    expect(trust[2]).toBe(0);
  });

  it('F58: lasts until the time that a busy node asked for, and no longer', () => {
    const busy = cost(warmNode('n1', { busyUntil: NOW + 3_000 }));
    expect(busy).toMatchObject({ slotWait: 3, reason: 'warm_busy', startsNow: false });
    expect(cost(warmNode('n1', { busyUntil: NOW }))).toMatchObject({ slotWait: 0, startsNow: true });
  });

  it('is nothing where no model runs', () => {
    expect(cost(warmNode('n1'), on(9), request({ operation: 'show' }))).toMatchObject({
      slotWait: 0,
      load: 0,
      prompt: 0,
      answer: 0,
      eviction: 0,
      reason: 'any',
      startsNow: true,
    });
  });
});

describe('who may begin now', () => {
  it('is who has a free slot, or may try whether there is one more', () => {
    const full = running({ n1: { [MODEL]: 2 } });
    const may = (fields: object, inflight = full) =>
      cost(warmNode('n1', { slots: 2, ...fields }), inflight).startsNow;
    expect(may({})).toBe(false);
    expect(may({ probeSlotsAt: NOW })).toBe(true);
    expect(may({ probeSlotsAt: NOW + 1 })).toBe(false);
    expect(may({ probeSlotsAt: NOW, slotsSource: 'configured' })).toBe(false);
    expect(may({ probeSlotsAt: NOW }, running({ n1: { [MODEL]: 3 } }))).toBe(false);
  });

  it('is a cold node on which nothing else is loaded by us', () => {
    expect(cost(node('n1')).startsNow).toBe(true);
    const other = node('n1', { warm: [resident('other')] });
    expect(cost(other, running({ n1: { other: 1 } }))).toMatchObject({ startsNow: false });
    const roomy = { ...other, vramTotalBytes: 48 * GIB };
    expect(cost(roomy, running({ n1: { other: 1 } }))).toMatchObject({ startsNow: true });
    expect(cost(roomy, running({ n1: { third: 1 } })).startsNow).toBe(false);
    expect(cost(roomy, running({ n1: { third: 1 } })).load).toBeGreaterThan(cost(roomy).load);
  });

  it('is not a cold node whose next load those who wait before take', () => {
    const view = node('n1', { warm: [resident('other')], vramTotalBytes: 48 * GIB });
    const behind = (inflight: Inflight) =>
      cost(view, inflight, request(), { waiting: { ahead: (key) => (key === MODEL ? 2 : 0) } }).slotWait;
    expect(behind(IDLE)).toBe(0);
    expect(behind(running({ n1: { third: 1 } }))).toBeCloseTo(2 * HELD);
  });

  it('does not take descriptions for loads', () => {
    expect(cost(node('n1'), running({ n1: { '': 1 } }))).toMatchObject({ startsNow: true, load: LOAD });
  });

  it('F62: joins a load up to its slots', () => {
    const joining = (count: number) => cost(node('n1', { slots: 2 }), running({ n1: { [MODEL]: count } }));
    expect(joining(1)).toMatchObject({ startsNow: true, reason: 'loading', slotWait: 0 });
    expect(joining(2)).toMatchObject({ startsNow: false, reason: 'loading' });
  });
});

describe('load', () => {
  it('is nothing for a warm model', () => {
    expect(cost(warmNode('n1'))).toMatchObject({ load: 0, eviction: 0, reason: 'warm_idle' });
  });

  it('is the size over the rate, the default one until the node has shown its own', () => {
    expect(LOAD).toBeCloseTo(1 + (5 * 1024) / 500);
    expect(cost(node('n1', { loadBytesPerSecond: GIB })).load).toBeCloseTo(6);
    expect(cost(node('n1', { weight: 2 })).load).toBeCloseTo(1 + (5 * 1024) / 1000);
  });

  it.each([
    { numCtx: undefined, loaded: 4096, reloads: false },
    { numCtx: 4096, loaded: 4096, reloads: false },
    { numCtx: 8192, loaded: 4096, reloads: true },
    { numCtx: 2048, loaded: 4096, reloads: false },
    { numCtx: 8192, loaded: undefined, reloads: false },
  ])('num_ctx $numCtx on a model loaded with $loaded: reload $reloads', ({ numCtx, loaded, reloads }) => {
    const view = node('n1', { warm: [resident(MODEL, { contextLength: loaded })] });
    const { load, eviction, reason } = cost(view, IDLE, request({ numCtx }));
    expect(load > 0).toBe(reloads);
    expect(eviction).toBe(0);
    expect(reason).toBe(reloads ? 'loads_beside' : 'warm_idle');
  });

  it('that changes the context waits for all running requests of the model', () => {
    const view = warmNode('n1', { slots: 4 });
    const inflight = ending({ n1: { [MODEL]: [20, 70] } });
    expect(cost(view, inflight).slotWait).toBe(0);
    expect(cost(view, inflight, request({ numCtx: 8192 }))).toMatchObject({ slotWait: 70, startsNow: false });
    expect(cost(view, IDLE, request({ numCtx: 8192 }))).toMatchObject({ slotWait: 0, startsNow: true });
  });

  it('F62: that an earlier request of ours began lasts until that one can be read and answered', () => {
    const loading = (end: number) => cost(node('n1'), ending({ n1: { [MODEL]: [end] } }));
    expect(loading(LOAD + HELD).load).toBeCloseTo(LOAD);
    expect(loading(3 + HELD).load).toBeCloseTo(3);
    expect(loading(-60).load).toBeCloseTo(P.leastLoadLeftShare * LOAD);
  });

  it('F62: is counted once by those who wait for a slot behind it', () => {
    const { load, slotWait } = cost(node('n1'), ending({ n1: { [MODEL]: [LOAD + HELD] } }));
    expect(load + slotWait).toBeCloseTo(LOAD + HELD);
  });

  it('F62: that another replica began is partly paid', () => {
    const loading = cost(node('n1'), running({ n1: { [MODEL]: 1 } }));
    expect(loading.load).toBeCloseTo(cost(node('n1')).load / 2);
    expect(loading.reason).toBe('loading');
  });
});

describe('eviction', () => {
  const other = resident('other', { vramBytes: 10 * GIB, sizeBytes: 10 * GIB });
  const reload = P.knockOn * (1 + (10 * 1024) / 500);

  it('costs nothing where the model fits beside the others', () => {
    expect(cost(node('n1', { warm: [other], vramTotalBytes: 24 * GIB }))).toMatchObject({
      eviction: 0,
      reason: 'loads_beside',
    });
    expect(cost(node('n1', { warm: [other], maxVramSeenBytes: 20 * GIB }))).toMatchObject({
      eviction: 0,
      reason: 'loads_beside',
    });
    expect(cost(node('n1'))).toMatchObject({ eviction: 0, reason: 'loads_beside' });
  });

  it('of an idle model costs its reload with the chance that it is wanted again', () => {
    const { eviction, reason } = cost(node('n1', { warm: [other], vramTotalBytes: 12 * GIB }));
    expect(reason).toBe('loads_evicting');
    expect(eviction).toBeCloseTo(P.idleReuse * reload);
  });

  it('of a model in use costs all of its reload, and the wait for its requests', () => {
    const view = node('n1', { warm: [other], vramTotalBytes: 12 * GIB });
    const busy = cost(view, ending({ n1: { other: [7] } }));
    expect(busy.eviction).toBeCloseTo(reload + P.crowdingShare * P.contentionShare * HELD);
    expect(busy.load).toBeCloseTo(LOAD + 7);
    expect(busy.startsNow).toBe(false);
  });

  it('of a model that is asked for often costs more, up to its reload for all who ask meanwhile', () => {
    const view = node('n1', { warm: [other], vramTotalBytes: 12 * GIB });
    const at = (perSecond: number) =>
      cost(view, IDLE, request(), { demand: { perSecond: (key) => (key === 'other' ? perSecond : 0) } })
        .eviction;
    const followers = reload / P.knockOn / P.reuseSeconds / 2;
    expect(at(1 / P.reuseSeconds)).toBeCloseTo((1 - Math.exp(-1)) * reload * (1 + followers));
    expect(at(0.1)).toBeGreaterThan(reload);
    expect(at(1_000)).toBeCloseTo(reload * (1 + P.maxFollowers));
  });

  it('of a model that requests wait for is certain to be regretted', () => {
    const view = node('n1', { warm: [other], vramTotalBytes: 12 * GIB });
    const waiting = { ahead: (key: string) => (key === 'other' ? 1 : 0) };
    expect(cost(view, IDLE, request(), { waiting }).eviction).toBeCloseTo(reload);
  });

  it('of a model of which another node has an idle copy costs little, unless that one is busy', () => {
    const view = node('n1', { warm: [other], vramTotalBytes: 12 * GIB });
    const copy = node('n2', { warm: [other] });
    const beside = (inflight: Inflight) => {
      const question = questionOf(request(), situation(snapshot(view, copy), { inflight }), 0);
      return entryOf(factsOf(question, view), question, NOTHING_SHOWN).terms.eviction;
    };
    expect(beside(IDLE)).toBeCloseTo(P.elsewhereShare * P.idleReuse * reload);
    expect(beside(running({ n2: { other: 1 } }))).toBeCloseTo(P.idleReuse * reload);
  });

  it('takes idle models before busy ones, and no more than needed', () => {
    const small = resident('small', { vramBytes: 6 * GIB, sizeBytes: 6 * GIB });
    const view = node('n1', { warm: [other, small], vramTotalBytes: 17 * GIB });
    const { eviction } = cost(view, running({ n1: { other: 1 } }));
    const crowding = P.crowdingShare * P.contentionShare * HELD;
    expect(eviction).toBeCloseTo(P.idleReuse * P.knockOn * (1 + (6 * 1024) / 500) + crowding);
  });

  it('is weighed with its chance where VRAM is unknown', () => {
    const { eviction, reason } = cost(node('n1', { warm: [other] }));
    expect(reason).toBe('loads_unknown');
    expect(eviction).toBeCloseTo(P.unknownEviction * P.idleReuse * reload);
  });

  it('knows what the model took when it was last in memory there', () => {
    const view = { warm: [other], vramTotalBytes: 16 * GIB } as const;
    const of = (bytes: number) =>
      cost(node('n1', { ...view, loadedBytes: new Map([[MODEL, bytes]]) })).reason;
    expect(of(5 * GIB)).toBe('loads_beside');
    expect(of(7 * GIB)).toBe('loads_evicting');
  });

  it('takes a model that no poll has shown yet for the last to go', () => {
    const fresh = resident('fresh', { expiresAt: '', sizeBytes: 40 * GIB, vramBytes: 10 * GIB });
    const { eviction } = cost(node('n1', { warm: [fresh, other], vramTotalBytes: 21 * GIB }));
    expect(eviction).toBeCloseTo(P.idleReuse * reload);
  });

  it('is likelier where as many models are loaded as Ollama keeps by default', () => {
    const three = ['a', 'b', 'c'].map((key) => resident(key));
    const full = cost(node('n1', { warm: three })).eviction;
    expect(full).toBeGreaterThan(cost(node('n1', { warm: three.slice(0, 2) })).eviction);
    expect(cost(node('n1', { warm: three, vramTotalBytes: 80 * GIB })).reason).toBe('loads_unknown');
  });

  it('counts the memory of models on the CPU too', () => {
    const onCpu = resident('other', { vramBytes: 0, sizeBytes: 10 * GIB });
    expect(cost(node('n1', { warm: [onCpu] })).eviction).toBeCloseTo(
      P.unknownEviction * P.idleReuse * reload,
    );
  });

  it('adds the price of a model that is larger than the node', () => {
    const large = [onDisk(MODEL, { sizeBytes: 40 * GIB })];
    expect(cost(node('n1', { models: large, vramTotalBytes: 24 * GIB })).eviction).toBe(P.oversizeSeconds);
    expect(cost(node('n1', { models: large, vramTotalBytes: 80 * GIB })).eviction).toBe(0);
  });

  it('counts what other programs take as lost, whatever models go', () => {
    const of = (vramUsedBytes: number) =>
      cost(node('n1', { vramTotalBytes: 24 * GIB, vramUsedBytes, vramSource: 'agent' })).eviction;
    expect(of(2 * GIB)).toBe(0);
    expect(of(22 * GIB)).toBe(P.oversizeSeconds);
  });

  it('where VRAM is learnt takes what was seen to fit for full, but not for all there is', () => {
    const learnt = { vramTotalBytes: 12 * GIB, vramSource: 'learnt' } as const;
    const large = [onDisk(MODEL, { sizeBytes: 14 * GIB })];
    const { eviction, reason } = cost(node('n1', { ...learnt, models: large, warm: [other] }));
    expect(reason).toBe('loads_evicting');
    expect(eviction).toBeCloseTo(P.idleReuse * reload);
  });

  it('counts a loaded model once, whatever names it has', () => {
    const small = resident('other', { vramBytes: GIB, sizeBytes: GIB });
    const view = node('n1', { warm: [small], vramTotalBytes: 5.5 * GIB });
    const alias = { ...view, warm: new Map(view.warm).set('alias', small) };
    expect(cost(alias).eviction).toBe(cost(view).eviction);
  });
});

describe('trust', () => {
  it('grows faster than the share of failures', () => {
    const [rare, half, all] = [0.1, 0.5, 1].map((failureRate) => cost(warmNode('n1', { failureRate })).trust);
    expect(rare).toBeCloseTo(0.15);
    expect(half).toBeCloseTo(12.15);
    expect(all).toBeCloseTo(54.15);
    expect(cost(warmNode('n1', { failureRate: P.toleratedFailures })).trust).toBe(0);
  });

  it('orders ready, unknown, suspect and down', () => {
    const of = (fields: Parameters<typeof warmNode>[1]): number => cost(warmNode('n1', fields)).trust;
    const ready = of({});
    const unknown = of({ status: 'unknown', residentAt: undefined });
    const suspect = of({ status: 'suspect' });
    const down = of({ status: 'down' });
    expect([ready, unknown, suspect, down]).toEqual([0, 5, 60, 120]);
  });

  it('prefers a cool GPU to one that is slowed down, and a warm one to both of them', () => {
    expect(cost(warmNode('n1', { isThrottled: true })).trust).toBe(P.throttledSeconds);
    const [throttled, cold] = [cost(warmNode('n1', { isThrottled: true })), cost(node('n2'))];
    expect(totalSeconds(throttled, P)).toBeLessThan(totalSeconds(cold, P));
  });

  it('F67: falls a little with the age of what is known, to a bound', () => {
    const aged = (ms: number): number => cost(warmNode('n1', { residentAt: NOW - ms })).trust;
    expect(aged(2_900)).toBe(0);
    expect(aged(8_000)).toBeCloseTo(1);
    expect(aged(3_600_000)).toBe(P.maxStaleSeconds);
    expect(aged(-50)).toBe(0);
  });

  it('F53: makes the probe of a stuck model dear, not impossible', () => {
    const stuckModels = new Map([[MODEL, { strikes: 2, until: NOW - 1 }]]);
    expect(cost(warmNode('n1', { stuckModels })).trust).toBe(P.halfOpenSeconds);
  });
});

describe('the sum', () => {
  const sum = (seconds: number): number =>
    totalSeconds(
      { roundTrip: seconds, slotWait: 0, load: 0, prompt: 0, answer: 0, eviction: 0, trust: 0 },
      P,
    );

  it('is as fine as the estimates are', () => {
    expect([0.051, 0.0549, 0.988, 0.996, 1.04, 9.96, 12.4].map(sum)).toEqual([
      0.06, 0.06, 0.98, 1, 1, 10, 12.5,
    ]);
  });

  it('never turns an order round', () => {
    let before = 0;
    for (let seconds = 0; seconds < 30; seconds += 0.003) {
      expect(sum(seconds)).toBeGreaterThanOrEqual(before);
      before = sum(seconds);
    }
  });
});
