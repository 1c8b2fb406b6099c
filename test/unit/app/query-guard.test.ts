import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QueryGuard } from '../../../src/app/query-guard.ts';
import { FAILURE_REASONS } from '../../../src/fleet/types.ts';

const MINUTE = 60_000;

function isRefused(guard: QueryGuard, fingerprint: string, now: number): boolean {
  try {
    guard.check(fingerprint, now);
    return false;
  } catch (error) {
    expect(error).toMatchObject({ name: 'RouterError', code: 'query_of_death' });
    return true;
  }
}

describe('a body whose request kills nodes', () => {
  it('F57 is refused after the death of two nodes, for five minutes', () => {
    const guard = new QueryGuard();
    guard.failed('killer', 'n1', 'reset', 0);
    expect(isRefused(guard, 'killer', 1)).toBe(false);
    guard.failed('killer', 'n2', 'reset', 1_000);
    expect(isRefused(guard, 'killer', 1_001)).toBe(true);
    expect(isRefused(guard, 'other', 1_001)).toBe(false);
    expect(isRefused(guard, 'killer', 1_000 + 5 * MINUTE - 1)).toBe(true);
    expect(isRefused(guard, 'killer', 1_000 + 5 * MINUTE)).toBe(false);
    expect(guard.refusals).toBe(2);
  });

  it('is given no more nodes than may still die', () => {
    const guard = new QueryGuard();
    expect(guard.attemptsLeft('killer', 0)).toBe(Number.POSITIVE_INFINITY);
    guard.failed('killer', 'n1', 'server_error', 0);
    expect(guard.attemptsLeft('killer', 0)).toBe(2);
    guard.failed('killer', 'n1', 'reset', 0);
    expect(guard.attemptsLeft('killer', 1)).toBe(1);
    expect(guard.attemptsLeft('killer', 5 * MINUTE)).toBe(Number.POSITIVE_INFINITY);
  });

  it.each(['truncated', 'in_band_error', 'reset'] as const)(
    'counts an answer that ended with: %s',
    (reason) => {
      const guard = new QueryGuard();
      guard.failed('killer', 'n1', reason, 0);
      guard.failed('killer', 'n2', reason, 1);
      expect(isRefused(guard, 'killer', 2)).toBe(true);
    },
  );

  it('says when it may be tried again, and nothing of nodes', () => {
    const guard = new QueryGuard();
    guard.failed('killer', 'gpu-one', 'reset', 0);
    guard.failed('killer', 'gpu-two', 'reset', 0);
    expect(() => guard.check('killer', 100_500)).toThrow(/crashed them; change it, or try again in 200 s$/);
    expect(() => guard.check('killer', 100_500)).not.toThrow(/gpu/);
  });

  it('needs four different nodes where they answered 500, which living nodes do too', () => {
    const guard = new QueryGuard();
    for (const node of ['n1', 'n2', 'n3']) guard.failed('odd', node, 'server_error', 0);
    expect(isRefused(guard, 'odd', 1)).toBe(false);
    guard.failed('odd', 'n4', 'server_error', 2);
    expect(isRefused(guard, 'odd', 3)).toBe(true);
  });

  it('weighs a death over an earlier 500 of the same node', () => {
    const guard = new QueryGuard();
    guard.failed('killer', 'n1', 'server_error', 0);
    guard.failed('killer', 'n1', 'reset', 1);
    guard.failed('killer', 'n2', 'reset', 2);
    expect(isRefused(guard, 'killer', 3)).toBe(true);
  });
});

describe('an innocent body', () => {
  it('is not condemned by one node that restarts again and again', () => {
    const guard = new QueryGuard();
    for (let i = 0; i < 20; i += 1) guard.failed('innocent', 'n1', 'reset', i * 1_000);
    expect(isRefused(guard, 'innocent', 20_000)).toBe(false);
  });

  it('is cleared by a node that answers it', () => {
    const guard = new QueryGuard();
    guard.failed('innocent', 'n1', 'reset', 0);
    guard.served('innocent');
    guard.failed('innocent', 'n2', 'reset', 10);
    expect(isRefused(guard, 'innocent', 11)).toBe(false);
  });

  it('is not condemned by deaths that lie more than five minutes apart', () => {
    const guard = new QueryGuard();
    guard.failed('innocent', 'n1', 'reset', 0);
    guard.failed('innocent', 'n2', 'reset', 5 * MINUTE);
    expect(isRefused(guard, 'innocent', 5 * MINUTE + 1)).toBe(false);
  });

  it.each(
    FAILURE_REASONS.filter(
      (reason) => !['reset', 'truncated', 'in_band_error', 'server_error'].includes(reason),
    ),
  )('is not condemned by: %s', (reason) => {
    const guard = new QueryGuard();
    for (const node of ['n1', 'n2', 'n3', 'n4', 'n5']) guard.failed('innocent', node, reason, 0);
    expect(isRefused(guard, 'innocent', 1)).toBe(false);
    expect(guard.attemptsLeft('innocent', 1)).toBe(Number.POSITIVE_INFINITY);
  });

  it('is never condemned where its fingerprint is not known', () => {
    const guard = new QueryGuard();
    for (const node of ['n1', 'n2', 'n3']) guard.failed('', node, 'reset', 0);
    expect(isRefused(guard, '', 1)).toBe(false);
  });

  it('is not condemned where the whole fleet is restarted under its requests', () => {
    const guard = new QueryGuard();
    const bodies = Array.from({ length: 40 }, (_, i) => `body${i}`);
    for (const node of ['n1', 'n2', 'n3'])
      for (const [i, body] of bodies.entries()) guard.failed(body, node, 'reset', i);
    expect(bodies.filter((body) => isRefused(guard, body, 1_000))).toEqual([]);
    // A minute later one body is one body again.
    guard.failed('killer', 'n1', 'reset', 2 * MINUTE);
    guard.failed('killer', 'n2', 'reset', 2 * MINUTE);
    expect(isRefused(guard, 'killer', 2 * MINUTE)).toBe(true);
  });
});

it('remembers a bounded number of bodies, and those that failed last', () => {
  const guard = new QueryGuard();
  guard.failed('first', 'n1', 'reset', 0);
  for (let i = 0; i < 4_096; i += 1) guard.failed(`body${i}`, 'n1', 'reset', 1);
  guard.failed('first', 'n2', 'reset', 2);
  guard.failed('body4095', 'n2', 'reset', 2);
  expect(isRefused(guard, 'first', 3)).toBe(false);
  expect(isRefused(guard, 'body4095', 3)).toBe(true);
});

it('never refuses a body that failed on fewer than two nodes, whatever the order of events', () => {
  const event = fc.record({
    body: fc.constantFrom('a', 'b', 'c'),
    node: fc.constantFrom('n1', 'n2', 'n3', 'n4'),
    reason: fc.constantFrom(...FAILURE_REASONS),
    wait: fc.nat(2 * MINUTE),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      const guard = new QueryGuard();
      const nodes = new Map<string, Set<string>>();
      let now = 0;
      for (const { body, node, reason, wait } of events) {
        now += wait;
        guard.failed(body, node, reason, now);
        nodes.set(body, (nodes.get(body) ?? new Set()).add(node));
        for (const [seen, on] of nodes) if (on.size < 2) expect(isRefused(guard, seen, now)).toBe(false);
      }
    }),
  );
});
