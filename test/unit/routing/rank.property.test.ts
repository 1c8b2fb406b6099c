import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_FIGURES } from '../../../src/fleet/figures.ts';
import { anyContextKey } from '../../../src/fleet/figures-key.ts';
import type { FiguresByModel, NodeView } from '../../../src/fleet/types.ts';
import { RouterError } from '../../../src/request/errors.ts';
import { rejectReason } from '../../../src/routing/filters.ts';
import { DEFAULT_ROUTING as P } from '../../../src/routing/params.ts';
import { rank } from '../../../src/routing/rank.ts';
import { serviceOf } from '../../../src/routing/service.ts';
import type { Inflight, Ranking, Situation } from '../../../src/routing/types.ts';
import {
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
} from './builders.ts';

function held(ms: number | undefined): FiguresByModel {
  if (ms === undefined) return new Map();
  return new Map([
    [anyContextKey(MODEL), { ...NO_FIGURES, heldMs: { value: ms, spread: 0, weight: 5, at: 0 } }],
  ]);
}

/** What a lying node could make of its figures, and what a sane one reports. */
const figure = (max: number): fc.Arbitrary<number> =>
  fc.oneof(
    { weight: 8, arbitrary: fc.double({ min: 0, max, noNaN: true }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, -1, 1e308, Number.NEGATIVE_INFINITY),
    },
  );

const view = (index: number, sane: boolean): fc.Arbitrary<NodeView> => {
  const number = (max: number): fc.Arbitrary<number> =>
    sane ? fc.double({ min: 0, max, noNaN: true }) : figure(max);
  return fc
    .record({
      knows: fc.boolean(),
      warmth: fc.constantFrom('no', 'warm', 'other'),
      status: fc.constantFrom('unknown', 'ready', 'ready', 'suspect', 'down', 'draining' as const),
      hasAddress: fc.boolean(),
      isStuck: fc.boolean(),
      admission: fc.double({ min: 0.1, max: 1, noNaN: true }),
      weight: number(4),
      slots: sane ? fc.integer({ min: 1, max: 8 }) : figure(8),
      rttMs: number(500),
      failureRate: sane ? fc.double({ min: 0, max: 1, noNaN: true }) : figure(1),
      busyUntil: number(NOW + 60_000),
      vram: fc.option(number(80 * GIB), { nil: undefined }),
      size: number(80 * GIB),
      rate: fc.option(number(10 * GIB), { nil: undefined }),
      heldMs: fc.option(number(60_000), { nil: undefined }),
      seen: fc.boolean(),
    })
    .map((f) =>
      node(`n${index}`, {
        models: f.knows ? [onDisk(MODEL, { sizeBytes: f.size })] : [onDisk('another')],
        warm:
          f.warmth === 'no'
            ? []
            : [resident(f.warmth === 'warm' && f.knows ? MODEL : 'other', { vramBytes: f.size })],
        status: f.status as NodeView['status'],
        address: f.hasAddress ? `10.0.0.${index}:11434` : undefined,
        stuckModels: new Map(f.isStuck ? [[MODEL, { strikes: 2, until: NOW + 1_000 }]] : []),
        admission: f.admission,
        weight: f.weight,
        slots: f.slots,
        rttMs: f.rttMs,
        failureRate: f.failureRate,
        busyUntil: f.busyUntil,
        vramTotalBytes: f.vram,
        loadBytesPerSecond: f.rate,
        figures: held(f.heldMs),
        residentAt: f.seen ? NOW - 1_000 : undefined,
        tagsAt: f.seen || f.knows ? NOW - 1_000 : undefined,
      }),
    );
};

const fleet = (sane: boolean): fc.Arbitrary<NodeView[]> =>
  fc
    .integer({ min: 0, max: 8 })
    .chain((size) => fc.tuple(...Array.from({ length: size }, (_, i) => view(i, sane))));

const load = fc.dictionary(
  fc.constantFrom(...Array.from({ length: 8 }, (_, i) => `n${i}`)),
  fc.dictionary(fc.constantFrom(MODEL, 'other'), fc.nat(12)),
);

function tryRank(
  nodes: NodeView[],
  inflight: Inflight,
  maxAttempts = 3,
  others: Partial<Situation> = {},
): Ranking | RouterError {
  try {
    const given = { inflight, params: { ...P, maxAttempts }, ...others };
    return rank(request({ prefixes: [{ hash: 1, bytes: 150 }] }), situation(snapshot(...nodes), given));
  } catch (error) {
    if (error instanceof RouterError) return error;
    throw error;
  }
}

describe('whatever nodes report', () => {
  it('a ranking is a short, ordered list of distinct nodes with finite figures, or a refusal', () => {
    fc.assert(
      fc.property(fleet(false), load, fc.integer({ min: 1, max: 5 }), (nodes, counts, maxAttempts) => {
        const result = tryRank(nodes, running(counts), maxAttempts);
        if (result instanceof RouterError) {
          expect(['model_not_found', 'no_node']).toContain(result.code);
          return;
        }
        expect(result.nodes.length).toBeGreaterThan(0);
        expect(result.nodes.length).toBeLessThanOrEqual(maxAttempts);
        expect(new Set(result.nodes.map(({ id }) => id)).size).toBe(result.nodes.length);
        let before = 0;
        for (const { seconds, terms, address, ...rest } of result.nodes) {
          expect(address).not.toBe('');
          const { firstTokenSeconds, completionSeconds, heldSeconds, cachedBytes } = rest;
          const told = [firstTokenSeconds, completionSeconds, heldSeconds, cachedBytes];
          for (const value of [seconds, ...told, ...Object.values(terms)]) {
            expect(Number.isFinite(value)).toBe(true);
            expect(value).toBeGreaterThanOrEqual(0);
          }
          expect(seconds).toBeGreaterThanOrEqual(before);
          before = seconds;
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('F66: a node that lies about its figures costs no less than an ideal one', () => {
    const ideal = node('n9', { warm: [resident(MODEL)], rttMs: 0, slots: 64 });
    fc.assert(
      fc.property(view(1, false), (liar) => {
        const result = tryRank([liar, ideal], running());
        if (result instanceof RouterError) throw result;
        const best = result.nodes.find(({ id }) => id === 'n9')?.seconds ?? 0;
        const lied = result.nodes.find(({ id }) => id === 'n1')?.seconds ?? best;
        // A configured weight may still make it faster; nothing that it reports does.
        if (liar.weight <= 1 || Number.isNaN(liar.weight)) expect(lied).toBeGreaterThanOrEqual(best);
      }),
    );
  });

  it('no unfit node is in the list while a fit one exists, and no refusal while any could serve', () => {
    fc.assert(
      fc.property(fleet(true), load, (nodes, counts) => {
        const inflight = running(counts);
        const result = tryRank(nodes, inflight);
        const knowing = nodes.filter((n) => (n.tagsAt === undefined ? n.warm : n.models).has(MODEL));
        const reason = (n: NodeView) => rejectReason(request(), n, inflight, NOW);
        const fit = knowing.filter((n) => reason(n) === undefined).map(({ id }) => id);
        const resort = knowing.filter((n) => ['down', 'stuck'].includes(reason(n) ?? ''));
        if (fit.length === 0 && resort.length === 0) return;
        if (result instanceof RouterError) throw result;
        const listed = result.nodes.map(({ id }) => id);
        const allowed = fit.length > 0 ? fit : resort.map(({ id }) => id);
        for (const id of listed) expect(allowed).toContain(id);
        const isSure = (id: string | undefined): boolean => {
          const n = nodes.find((one) => one.id === id);
          return n?.status === 'ready' && n.failureRate <= P.toleratedFailures && n.residentAt !== undefined;
        };
        const isEnough = listed.slice(0, 2).every(isSure) && fit.length > 0;
        expect(listed.length).toBe(Math.min(isEnough ? 2 : 3, allowed.length));
      }),
      { numRuns: 1_000 },
    );
  });

  it('the list does not depend on the order in which nodes are given', () => {
    fc.assert(
      fc.property(
        fleet(true).chain((nodes) =>
          fc.tuple(
            fc.constant(nodes),
            fc.shuffledSubarray(nodes, { minLength: nodes.length, maxLength: nodes.length }),
          ),
        ),
        load,
        ([nodes, shuffled], counts) => {
          const one = tryRank(nodes, running(counts), 8);
          const other = tryRank(shuffled, running(counts), 8);
          if (one instanceof RouterError || other instanceof RouterError) {
            expect(one instanceof RouterError && other instanceof RouterError && one.code).toBe(
              (other as RouterError).code,
            );
            return;
          }
          const byCost = ({ nodes: list }: Ranking) =>
            list.map(({ id, seconds }) => `${seconds} ${id}`).sort();
          expect(byCost(other)).toEqual(byCost(one));
          expect(other.nodes.map(({ seconds }) => seconds)).toEqual(one.nodes.map(({ seconds }) => seconds));
        },
      ),
      { numRuns: 500 },
    );
  });
});

/** What the world beside the nodes could say, nonsense included. */
const world: fc.Arbitrary<Partial<Situation>> = fc
  .record({
    perSecond: figure(1_000),
    cachedBytes: figure(1_000_000),
    ahead: fc.nat(5_000),
    late: figure(600),
  })
  .map(({ perSecond, cachedBytes, ahead, late }) => ({
    demand: { perSecond: () => perSecond },
    prompts: { cachedBytes: () => cachedBytes },
    waiting: { ahead: () => ahead },
    now: NOW + (Number.isFinite(late) ? late * 1_000 : 0),
  }));

describe('whatever else is believed', () => {
  it('figures stay finite, and no cost is negative', () => {
    fc.assert(
      fc.property(fleet(false), load, world, (nodes, counts, others) => {
        const result = tryRank(nodes, running(counts), 3, others);
        if (result instanceof RouterError) return;
        for (const { seconds, terms, firstTokenSeconds, completionSeconds, heldSeconds } of result.nodes)
          for (const value of [
            seconds,
            firstTokenSeconds,
            completionSeconds,
            heldSeconds,
            ...Object.values(terms),
          ]) {
            expect(Number.isFinite(value)).toBe(true);
            expect(value).toBeGreaterThanOrEqual(0);
          }
      }),
      { numRuns: 500 },
    );
  });

  it('nobody begins on a node whose slots are taken, but for one trial of a further slot, and short ones in its queue', () => {
    fc.assert(
      fc.property(fleet(true), load, fc.boolean(), world, (nodes, counts, isTrial, others) => {
        const tried = nodes.map((n) => ({ ...n, probeSlotsAt: isTrial ? NOW : Number.POSITIVE_INFINITY }));
        const inflight = running(counts);
        const result = tryRank(tried, inflight, 8, others);
        if (result instanceof RouterError) return;
        for (const { id, startsNow, isWarm, cachedBytes } of result.nodes) {
          const n = tried.find((one) => one.id === id);
          if (n === undefined) throw new Error(`${id} is none of them`);
          const onModel = inflight.onModel(id, MODEL);
          const { queued } = serviceOf(request(), n, onModel, cachedBytes, P);
          expect(queued).toBeLessThanOrEqual(4 * n.slots);
          const most = isTrial && isWarm ? n.slots : n.slots - 1;
          if (startsNow) expect(onModel).toBeLessThanOrEqual(n.admission < 1 ? most : most + queued);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('nobody begins on a recovering node beyond its share', () => {
    fc.assert(
      fc.property(fleet(true), load, (nodes, counts) => {
        const inflight = running(counts);
        const result = tryRank(nodes, inflight, 8);
        if (result instanceof RouterError) return;
        for (const { id, startsNow } of result.nodes) {
          const { slots = 1, admission = 1 } = nodes.find((n) => n.id === id) ?? {};
          if (startsNow && admission < 1)
            expect(inflight.onNode(id)).toBeLessThan(Math.max(1, Math.floor(slots * admission)));
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('a node that is made better never ranks lower', () => {
  /** Each takes a node and answers one that is better in a single respect. */
  const improvements: [string, (n: NodeView) => NodeView][] = [
    ['closer', (n) => ({ ...n, rttMs: n.rttMs / 2 })],
    ['fails less', (n) => ({ ...n, failureRate: n.failureRate / 2 })],
    ['not suspect', (n) => ({ ...n, status: n.status === 'suspect' ? 'ready' : n.status })],
    ['no longer busy', (n) => ({ ...n, busyUntil: 0 })],
    ['fully admitted', (n) => ({ ...n, admission: 1 })],
    [
      'loads faster',
      (n) => ({ ...n, loadBytesPerSecond: (n.loadBytesPerSecond ?? 6e8 * Math.max(1, n.weight)) * 4 }),
    ],
    ['weighed higher', (n) => ({ ...n, weight: n.weight * 2 })],
    ['warm', (n) => (n.warm.has(MODEL) ? n : { ...n, warm: new Map(n.warm).set(MODEL, resident(MODEL)) })],
  ];

  it.each(improvements)('%s', (_, improve) => {
    fc.assert(
      fc.property(fleet(true), load, fc.nat(7), (nodes, counts, pick) => {
        const chosen = nodes[pick % Math.max(1, nodes.length)];
        if (chosen === undefined || chosen.weight === 0) return;
        const inflight = running(counts);
        // With the rule against parallel loads a warmer node can free others from their penalty: compare its own cost.
        const secondsOf = (n: NodeView): number | undefined => {
          const result = tryRank([n], inflight);
          return result instanceof RouterError ? undefined : result.nodes[0]?.seconds;
        };
        const before = secondsOf(chosen);
        const after = secondsOf(improve(chosen));
        if (before === undefined) return;
        expect(after).toBeLessThanOrEqual(before);
      }),
      { numRuns: 500 },
    );
  });

  it('idler', () => {
    fc.assert(
      fc.property(fleet(true), load, fc.nat(7), (nodes, counts, pick) => {
        const chosen = nodes[pick % Math.max(1, nodes.length)];
        if (chosen === undefined || !chosen.warm.has(MODEL)) return;
        const before = tryRank([chosen], running(counts));
        const after = tryRank([chosen], running());
        if (before instanceof RouterError || after instanceof RouterError) return;
        expect(after.nodes[0]?.seconds).toBeLessThanOrEqual(before.nodes[0]?.seconds ?? 0);
      }),
      { numRuns: 500 },
    );
  });
});
