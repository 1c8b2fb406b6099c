import { describe, expect, it } from 'vitest';
import type { RouteRequest } from '../../../src/request/types.ts';
import { DEFAULT_ROUTING as P } from '../../../src/routing/params.ts';
import { isStreamed, perTryTimeoutMs } from '../../../src/routing/per-try.ts';
import type { PickReason, RankedNode, Ranking } from '../../../src/routing/types.ts';
import { request } from './builders.ts';

function ranked(isWarm: boolean, slotWait = 0, load = isWarm ? 0 : 10, prompt = 0.1): RankedNode {
  const reason: PickReason = isWarm ? 'warm_idle' : 'loads_beside';
  return {
    id: 'n',
    address: '10.0.0.1:11434',
    seconds: slotWait + load + prompt,
    firstTokenSeconds: slotWait + load + prompt,
    completionSeconds: slotWait + load + prompt + 5,
    heldSeconds: load + prompt + 5,
    terms: { roundTrip: 0, slotWait, load, prompt, answer: 5, eviction: 0, trust: 0 },
    reason,
    isWarm,
    startsNow: slotWait === 0,
    cachedBytes: 0,
  };
}

const list = (...nodes: RankedNode[]): Ranking => ({ nodes, rejected: [] });
const limit = (ranking: Ranking, asked: RouteRequest = request()): number =>
  perTryTimeoutMs(asked, ranking, P);

describe('the first byte', () => {
  it('may take firstByteTimeout on a warm, idle node', () => {
    const ms = limit(list(ranked(true), ranked(true)));
    expect(ms).toBeGreaterThanOrEqual(P.firstByteTimeoutMs);
    expect(ms).toBeLessThan(P.firstByteTimeoutMs + 1_000);
  });

  it('may take the load timeout more on a cold one: F62', () => {
    expect(limit(list(ranked(false), ranked(false)))).toBeGreaterThanOrEqual(
      P.firstByteTimeoutMs + P.loadTimeoutMs,
    );
  });

  it('waits for a queue several times over, as Ollama sends no header before', () => {
    expect(limit(list(ranked(true, 20), ranked(true)))).toBeGreaterThanOrEqual(P.firstByteTimeoutMs + 60_000);
  });

  it('leaves time for the loads of the nodes that follow', () => {
    expect(limit(list(ranked(true), ranked(false, 0, 40)))).toBeGreaterThanOrEqual(
      P.firstByteTimeoutMs + 120_000,
    );
    expect(limit(list(ranked(true), ranked(false, 0, 9_999)))).toBeLessThanOrEqual(
      P.firstByteTimeoutMs + P.loadTimeoutMs + 1_000,
    );
  });

  it('may come later after a long prompt', () => {
    const long = limit(list(ranked(true, 0, 0, 5), ranked(true)));
    expect(long).toBeGreaterThan(limit(list(ranked(true), ranked(true))) + 10_000);
  });

  it('is bounded by the timeout of an answer alone where no other node could take over', () => {
    expect(limit(list(ranked(true)))).toBe(P.answerTimeoutMs);
    expect(limit(list())).toBe(P.answerTimeoutMs);
  });

  it('is the end of the answer where it is not streamed', () => {
    const two = list(ranked(true), ranked(true));
    expect(limit(two, request({ stream: false }))).toBe(P.answerTimeoutMs);
    expect(limit(two, request({ operation: 'embed' }))).toBe(P.answerTimeoutMs);
    expect(limit(two, request({ family: 'openai' }))).toBe(P.answerTimeoutMs);
    expect(limit(two, request({ family: 'openai', stream: true }))).toBeLessThan(P.answerTimeoutMs);
  });

  it('never exceeds the timeout of an answer', () => {
    expect(limit(list(ranked(true, 5_000), ranked(true)))).toBe(P.answerTimeoutMs);
  });

  it('of a description needs no load', () => {
    const any: RankedNode = { ...ranked(false, 0, 0), reason: 'any' };
    const ms = limit(list(any, any), request({ operation: 'show' }));
    expect(ms).toBeLessThan(P.firstByteTimeoutMs + 1_000);
  });
});

it.each([
  { family: 'ollama', operation: 'chat', stream: undefined, want: true },
  { family: 'ollama', operation: 'generate', stream: false, want: false },
  { family: 'openai', operation: 'chat', stream: undefined, want: false },
  { family: 'openai', operation: 'chat', stream: true, want: true },
  { family: 'anthropic', operation: 'chat', stream: undefined, want: false },
  { family: 'ollama', operation: 'embed', stream: true, want: false },
] as const)('$family $operation with stream $stream is streamed: $want', ({ want, ...fields }) => {
  expect(isStreamed(request(fields))).toBe(want);
});
