import { describe, expect, it } from 'vitest';
import type { Scenario, SimRequest } from '../../../src/simulate/types.ts';
import { buildScenario, WorkloadTooLargeError } from '../../../src/simulate/workload.ts';
import { lengths, stream, workload } from './scenario-builders.ts';

const build = (fields: Parameters<typeof stream>[0], seed = 1, requests?: number): Scenario =>
  buildScenario(workload({ streams: [stream(fields)] }), seed, requests);
const gaps = ({ requests }: Scenario): number[] =>
  requests.slice(1).map(({ arrivesAt }, at) => arrivesAt - (requests[at]?.arrivesAt ?? 0));
const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

describe('arrivals', () => {
  it('of a Poisson stream have the mean gap asked for, and vary as much', () => {
    const all = gaps(build({ arrivals: { kind: 'poisson', perSecond: 5 } }, 1, 20_000));
    expect(mean(all)).toBeGreaterThan(195);
    expect(mean(all)).toBeLessThan(205);
    const spread = Math.sqrt(mean(all.map((gap) => (gap - mean(all)) ** 2)));
    expect(spread / mean(all)).toBeCloseTo(1, 1);
  });

  it('of bursts fall into the bursts alone', () => {
    const { requests } = build({ arrivals: { kind: 'bursts', perSecond: 10, onMs: 2_000, offMs: 58_000 } });
    expect(requests.length).toBeGreaterThan(150);
    for (const { arrivesAt } of requests) expect(arrivesAt % 60_000).toBeLessThan(2_000);
    expect(new Set(requests.map(({ arrivesAt }) => Math.floor(arrivesAt / 60_000))).size).toBe(10);
  });

  it('of one moment come together', () => {
    const { requests } = build({ arrivals: { kind: 'once', atMs: 5_000, count: 40 } });
    expect(requests.map(({ arrivesAt }) => arrivesAt)).toEqual(Array(40).fill(5_000));
  });

  it('stay between the times of their stream', () => {
    const { requests } = build({ fromMs: 100_000, untilMs: 200_000 });
    expect(requests.length).toBeGreaterThan(20);
    expect(Math.min(...requests.map(({ arrivesAt }) => arrivesAt))).toBeGreaterThanOrEqual(100_000);
    expect(Math.max(...requests.map(({ arrivesAt }) => arrivesAt))).toBeLessThan(200_000);
  });
});

describe('requests', () => {
  it('are the same for the same seed, and others for another', () => {
    const texts = [1, 1, 2].map((seed) => JSON.stringify(build({ prompt: lengths(300, 1) }, seed)));
    expect(texts[0]).toBe(texts[1]);
    expect(texts[0]).not.toBe(texts[2]);
  });

  it('come in as large a number as is asked for', () => {
    for (const wanted of [1, 50, 5_000]) expect(build({}, 1, wanted).requests).toHaveLength(wanted);
  });

  it('are numbered in the order of their arrival, whatever their stream', () => {
    const { requests } = buildScenario(workload({ streams: [stream(), stream({ name: 'other' })] }), 1);
    expect(requests.map(({ id }) => id)).toEqual(requests.map((_, at) => at));
    expect(gaps({ requests } as Scenario).every((gap) => gap >= 0)).toBe(true);
  });

  it('have lognormal lengths within their bounds', () => {
    const prompts = build(
      { prompt: { median: 300, spread: 1, min: 50, max: 2_000 } },
      1,
      10_000,
    ).requests.map(({ promptTokens }) => promptTokens);
    prompts.sort((a, b) => a - b);
    expect(prompts[5_000]).toBeGreaterThan(285);
    expect(prompts[5_000]).toBeLessThan(315);
    expect(prompts[0]).toBeGreaterThanOrEqual(50);
    expect(prompts.at(-1)).toBe(2_000);
    // One standard deviation of the logarithm.
    expect(Math.log((prompts[8_413] ?? 0) / 300)).toBeCloseTo(1, 1);
  });

  it('are shared out by weight among models, contexts and callers', () => {
    const { requests } = build(
      {
        models: [
          { value: 'a:latest', weight: 3 },
          { value: 'b:latest', weight: 1 },
        ],
        contexts: [
          { value: undefined, weight: 1 },
          { value: 8_192, weight: 1 },
        ],
        callers: 3,
        skew: 1,
      },
      1,
      11_000,
    );
    const share = (is: (request: SimRequest) => boolean): number =>
      requests.filter(is).length / requests.length;
    expect(share(({ request }) => request.model.key === 'a:latest')).toBeCloseTo(0.75, 1);
    expect(share(({ request }) => request.numCtx === 8_192)).toBeCloseTo(0.5, 1);
    expect(share(({ caller }) => caller.id === 'chat-1')).toBeCloseTo(6 / 11, 1);
    expect(share(({ caller }) => caller.id === 'chat-3')).toBeCloseTo(2 / 11, 1);
  });

  it('without end are refused with what to do', () => {
    expect(() => build({ arrivals: { kind: 'once', atMs: 0, count: 2_000_001 } })).toThrow(
      WorkloadTooLargeError,
    );
  });
});

describe('conversations', () => {
  const { requests } = build({
    arrivals: { kind: 'sessions', perSecond: 0.05, turns: lengths(5), think: lengths(10_000, 0.5) },
    systemTokens: 500,
    prompt: lengths(100),
    answer: lengths(50),
  });
  const turns = requests.filter(({ session }) => session === requests[0]?.session);

  it('grow by question and answer, turn by turn', () => {
    expect(turns.map(({ promptTokens }) => promptTokens)).toEqual([600, 750, 900, 1_050, 1_200]);
    expect(turns.map(({ sharedTokens }) => sharedTokens)).toEqual([0, 650, 800, 950, 1_100]);
  });

  it('name their turns by hashes that only they have, behind one that all share', () => {
    const hashes = turns.map(({ request }) => request.prefixes.map(({ hash }) => hash));
    for (const [turn, own] of hashes.entries()) {
      expect(own).toHaveLength(turn + 1);
      expect(own.slice(0, turn)).toEqual(hashes[turn - 1] ?? []);
    }
    const other = requests.find(
      ({ session, sharedTokens }) => session !== turns[0]?.session && sharedTokens > 0,
    );
    const common = other?.request.prefixes.filter(({ hash }) => hashes.flat().includes(hash));
    expect(common).toEqual([turns[0]?.request.prefixes[0]]);
  });

  it('go on turn after turn, each after the one before', () => {
    const byId = new Map(requests.map((request) => [request.id, request]));
    for (const [at, { follows }] of turns.entries()) expect(follows?.id).toBe(turns[at - 1]?.id);
    for (const { follows, id, session } of requests) {
      if (follows === undefined) continue;
      expect(follows.id).toBeLessThan(id);
      expect(byId.get(follows.id)?.session).toBe(session);
    }
  });

  it('never outgrow the context', () => {
    const long = build({
      arrivals: { kind: 'sessions', perSecond: 0.05, turns: lengths(20), think: lengths(1_000) },
      prompt: lengths(500),
    });
    expect(Math.max(...long.requests.map(({ promptTokens }) => promptTokens))).toBe(4_096);
  });
});
