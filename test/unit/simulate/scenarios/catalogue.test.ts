import { describe, expect, it } from 'vitest';
import { SCENARIOS } from '../../../../src/simulate/scenarios/catalogue.ts';
import { dayWave } from '../../../../src/simulate/scenarios/steady.ts';

describe.each([...SCENARIOS])('scenario %s', (name, draw) => {
  const scenario = draw(1, 600);

  it('is the same for the same seed, and another for another', () => {
    expect(draw(1, 600)).toEqual(scenario);
    expect(draw(2, 600).requests).not.toEqual(scenario.requests);
  });

  it('has about as many requests as asked for, in order of arrival', () => {
    expect(scenario.name).toBe(name);
    expect(scenario.requests.length).toBeGreaterThan(300);
    expect(scenario.requests.length).toBeLessThan(900);
    const times = scenario.requests.map(({ arrivesAt }) => arrivesAt);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(scenario.requests.map(({ id }) => id)).toEqual(times.map((_, i) => i));
  });

  it('asks only for models that a node can hold or work off, with figures that make sense', () => {
    const models = new Map(scenario.models.map((model) => [model.key, model]));
    for (const { request, promptTokens, answerTokens, sharedTokens, follows, id } of scenario.requests) {
      expect(models.has(request.model.key)).toBe(true);
      expect(scenario.nodes.some(({ models: has }) => has.includes(request.model.key))).toBe(true);
      expect(promptTokens).toBeGreaterThan(sharedTokens);
      expect(answerTokens).toBeGreaterThan(0);
      expect(request.promptBytes).toBeGreaterThan(0);
      expect(follows === undefined || follows.id < id).toBe(true);
      const covered = request.prefixes.map(({ bytes }) => bytes);
      expect(covered).toEqual([...covered].sort((a, b) => a - b));
      expect(covered.length).toBeLessThanOrEqual(16);
      expect(covered.at(-1) ?? 0).toBeLessThanOrEqual(request.promptBytes);
    }
  });

  it('names nodes once, and lets happen only what befalls one of them', () => {
    const ids = scenario.nodes.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { node } of scenario.events) expect(ids).toContain(node);
  });
});

describe('scenarios', () => {
  it('knows conversations by their first turn: the second beginning never changes', () => {
    const requests = SCENARIOS.get('chat-sessions')?.(1, 1_000).requests ?? [];
    const firstTurns = new Map<number, number>();
    for (const { session, request } of requests) {
      const hash = request.prefixes[1]?.hash;
      if (session === undefined || hash === undefined) continue;
      expect(firstTurns.get(session) ?? hash).toBe(hash);
      firstTurns.set(session, hash);
    }
    expect(firstTurns.size).toBeGreaterThan(50);
    expect(new Set(firstTurns.values()).size).toBe(firstTurns.size);
  });

  it('has days that come to what was asked for', () => {
    const mean =
      Array.from({ length: 1_000 }, (_, i) => dayWave(i / 1_000)).reduce((sum, x) => sum + x, 0) / 1_000;
    expect(mean).toBeCloseTo(1, 1);
  });
});
