import { describe, expect, it } from 'vitest';
import type { NodeView } from '../../../src/fleet/types.ts';
import type { RouteRequest } from '../../../src/request/types.ts';
import { costOf, reasonOf, totalSeconds } from '../../../src/routing/cost.ts';
import { factsOf } from '../../../src/routing/facts.ts';
import { DEFAULT_ROUTING as P } from '../../../src/routing/params.ts';
import type { Inflight } from '../../../src/routing/types.ts';
import { GIB, MODEL, NOW, node, onDisk, request, resident, running, warmNode } from './builders.ts';

const IDLE = running();

function cost(view: NodeView, inflight: Inflight = IDLE, asked: RouteRequest = request()) {
  const facts = factsOf(asked, view, inflight, P, NOW);
  return { ...costOf(facts, asked, inflight, P, NOW), reason: reasonOf(facts, P, NOW) };
}

describe('round trip', () => {
  it('grows with distance and with the prompt, and shrinks with the weight of the node', () => {
    const near = cost(warmNode('n1', { rttMs: 1 })).roundTrip;
    expect(cost(warmNode('n1', { rttMs: 101 })).roundTrip).toBeCloseTo(near + 0.1);
    expect(cost(warmNode('n1'), IDLE, request({ bodyBytes: 16_300 })).roundTrip).toBeCloseTo(near + 2);
    expect(cost(warmNode('n1', { weight: 2 })).roundTrip).toBeLessThan(near);
  });

  it('does not count the bytes of a picture without end', () => {
    const asked = request({ bodyBytes: 64 * 1024 ** 2 });
    expect(cost(warmNode('n1'), IDLE, asked).roundTrip).toBeLessThan(P.maxPrefillSeconds + 1);
  });

  it('is the network alone where no model runs', () => {
    expect(cost(node('n1', { rttMs: 4 }), IDLE, request({ operation: 'show' })).roundTrip).toBe(0.004);
  });
});

describe('slot wait', () => {
  const on = (count: number): Inflight => running({ n1: { [MODEL]: count } });

  it.each([
    { slots: 1, busy: 0, want: 0 },
    { slots: 1, busy: 1, want: 5 },
    { slots: 1, busy: 3, want: 15 },
    { slots: 4, busy: 3, want: 0 },
    { slots: 4, busy: 4, want: 1.25 },
    { slots: 4, busy: 8, want: 6.25 },
    { slots: 0, busy: 0, want: 0 },
  ])('$busy requests on $slots slots take $want s', ({ slots, busy, want }) => {
    expect(cost(warmNode('n1', { slots }), on(busy)).slotWait).toBeCloseTo(want);
  });

  it('knows how long requests for the model take, once it has seen some', () => {
    const view = warmNode('n1', { serviceMs: new Map([[MODEL, 300]]) });
    expect(cost(view, on(2)).slotWait).toBeCloseTo(0.6);
    expect(cost(warmNode('n1'), on(2), request({ operation: 'embed' })).slotWait).toBeCloseTo(1);
  });

  it('counts the weight of a node', () => {
    expect(cost(warmNode('n1', { weight: 2 }), on(2)).slotWait).toBeCloseTo(5);
  });

  it('F68: takes a recovering node for busier than it is', () => {
    const waits = [0.1, 0.5, 1].map((admission) => cost(warmNode('n1', { slots: 4, admission })).slotWait);
    expect(waits[0]).toBeGreaterThan(0);
    expect(waits).toEqual([...waits].sort((a, b) => b - a));
    expect(waits[2]).toBe(0);
  });

  it("lets other models' requests cost something, but less than the model's own", () => {
    const others = cost(warmNode('n1'), running({ n1: { other: 2 } })).slotWait;
    expect(others).toBeGreaterThan(0);
    expect(others).toBeLessThan(cost(warmNode('n1'), on(1)).slotWait);
  });

  it('F58: waits until the time that a busy node asked for, and no longer', () => {
    expect(cost(warmNode('n1', { busyUntil: NOW + 3_000 })).slotWait).toBeCloseTo(3);
    expect(cost(warmNode('n1', { busyUntil: NOW + 3_000 })).reason).toBe('warm_busy');
    expect(cost(warmNode('n1', { busyUntil: NOW })).slotWait).toBe(0);
  });

  it('is nothing where no model runs', () => {
    expect(cost(warmNode('n1'), on(9), request({ operation: 'show' }))).toMatchObject({
      slotWait: 0,
      load: 0,
      eviction: 0,
      reason: 'any',
    });
  });
});

describe('load', () => {
  it('is nothing for a warm model', () => {
    expect(cost(warmNode('n1'))).toMatchObject({ load: 0, eviction: 0, reason: 'warm_idle' });
  });

  it('is the size over the rate, the default one until the node has shown its own', () => {
    expect(cost(node('n1')).load).toBeCloseTo(1 + (5 * 1024) / 500);
    expect(cost(node('n1', { loadBytesPerSecond: GIB })).load).toBeCloseTo(6);
    expect(cost(node('n1', { weight: 2 })).load).toBeCloseTo((1 + (5 * 1024) / 500) / 2);
  });

  it.each([
    { numCtx: undefined, loaded: 4096, reloads: false },
    { numCtx: 4096, loaded: 4096, reloads: false },
    { numCtx: 8192, loaded: 4096, reloads: true },
    { numCtx: 2048, loaded: 4096, reloads: true },
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
    const inflight = running({ n1: { [MODEL]: 2 } });
    expect(cost(view, inflight).slotWait).toBe(0);
    expect(cost(view, inflight, request({ numCtx: 8192 })).slotWait).toBeCloseTo(2.5);
  });

  it('F62: that already runs is partly paid', () => {
    const loading = cost(node('n1'), running({ n1: { [MODEL]: 1 } }));
    expect(loading.load).toBeCloseTo(cost(node('n1')).load / 2);
    expect(loading).toMatchObject({ eviction: 0, reason: 'loading' });
  });
});

describe('eviction', () => {
  const other = resident('other', { vramBytes: 10 * GIB, sizeBytes: 10 * GIB });
  const reload = 1 + (10 * 1024) / 500;

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
    expect(cost(view, running({ n1: { other: 1 } })).eviction).toBeCloseTo(reload + P.defaultServiceSeconds);
  });

  it('takes idle models before busy ones, and no more than needed', () => {
    const small = resident('small', { vramBytes: 6 * GIB, sizeBytes: 6 * GIB });
    const view = node('n1', { warm: [other, small], vramTotalBytes: 17 * GIB });
    const { eviction } = cost(view, running({ n1: { other: 1 } }));
    expect(eviction).toBeCloseTo(P.idleReuse * (1 + (6 * 1024) / 500));
  });

  it('is weighed with its chance where VRAM is unknown', () => {
    const { eviction, reason } = cost(node('n1', { warm: [other] }));
    expect(reason).toBe('loads_unknown');
    expect(eviction).toBeCloseTo(P.unknownEviction * P.idleReuse * reload);
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
    expect(totalSeconds(throttled)).toBeLessThan(totalSeconds(cold));
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
    totalSeconds({ roundTrip: seconds, slotWait: 0, load: 0, eviction: 0, trust: 0 });

  it('is as fine as the estimates are', () => {
    expect([0.051, 0.0549, 0.994, 0.996, 1.04, 9.96, 12.4].map(sum)).toEqual([
      0.05, 0.05, 0.99, 1, 1, 10, 12,
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
