import { describe, expect, it } from 'vitest';
import { Decision, DecisionLog } from '../../../src/app/decision-log.ts';
import { request } from '../routing/builders.ts';

function decision(id: string, atMs = 0): Decision {
  return new Decision({
    id,
    at: new Date(Date.parse('2026-01-01T00:00:00.000Z') + atMs),
    request: request(),
    ranking: { nodes: [], rejected: [] },
    snapshotVersion: 1,
  });
}

function filled(capacity: number, count: number): DecisionLog {
  const log = new DecisionLog(capacity);
  for (let index = 0; index < count; index += 1) log.add(decision(`d${index}`));
  return log;
}

describe('decisions', () => {
  it('are answered newest first, as many as asked for', () => {
    const log = filled(5, 3);
    expect(log.recent(2).map(({ id }) => id)).toEqual(['d2', 'd1']);
    expect(log.recent(99).map(({ id }) => id)).toEqual(['d2', 'd1', 'd0']);
  });

  it('are bounded, while those whose requests run are found for as long as they run', () => {
    const log = filled(10, 5_000);
    expect(log.recent(99_999)).toHaveLength(10);
    expect(log.openCount).toBe(5_000);
    expect(log.find('d0')?.id).toBe('d0');
    for (let index = 0; index < 5_000; index += 1) log.close(`d${index}`);
    expect(log.openCount).toBe(0);
    expect(log.find('d0')).toBeUndefined();
    expect(log.find('d4999')?.id).toBe('d4999');
  });

  it('are told with the refusals between them, of which a flood drives none of them out', () => {
    const log = new DecisionLog(3);
    log.add(decision('d1', 1));
    for (let index = 0; index < 50; index += 1) log.addRefused(decision(`r${index}`, 2 + index));
    log.add(decision('d2', 99));
    expect(log.recent(9).map(({ id }) => id)).toEqual(['d2', 'r49', 'r48', 'r47', 'd1']);
    expect(log.recent(2).map(({ id }) => id)).toEqual(['d2', 'r49']);
    expect(log.find('r49')?.id).toBe('r49');
    expect(log.find('r0')).toBeUndefined();
    expect(log.openCount).toBe(2);
  });

  it('whose stream ended and whose log never came are dropped after a while; running ones stay', () => {
    const log = filled(2, 6);
    for (const [id, at] of [
      ['d0', 10],
      ['d1', 20],
      ['d2', 21],
    ] as const) {
      const found = log.find(id);
      if (found !== undefined) found.finishedAt = at;
    }
    expect(log.dropFinishedBefore(20)).toBe(1);
    expect(log.openCount).toBe(5);
    expect(log.find('d0')).toBeUndefined();
    expect(log.find('d1')?.id).toBe('d1');
    expect(log.find('d3')?.id).toBe('d3');
  });
});
