import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ContextFacts, contextOn } from '../../../src/routing/context.ts';
import { DEFAULT_REWRITES, type RewritePolicy } from '../../../src/routing/rewrite-policy.ts';
import { MODEL, request, resident } from './builders.ts';

const loaded = (contextLength: number | undefined) => resident(MODEL, { contextLength });
const pass = { numCtx: undefined, reloads: false, saves: false };
const reload = { numCtx: undefined, reloads: true, saves: false };

interface Case {
  readonly name: string;
  readonly asked?: number;
  readonly has?: number | 'cold' | 'untold';
  readonly policy?: Partial<RewritePolicy>;
  readonly known?: ContextFacts;
  readonly path?: { path: string; family: 'openai' | 'anthropic' };
  readonly want: ReturnType<typeof contextOn>;
}
const V1 = { path: '/v1/chat/completions', family: 'openai' } as const;
const MESSAGES = { path: '/v1/messages', family: 'anthropic' } as const;

const CASES: readonly Case[] = [
  // A context by the client.
  { name: 'the context in memory', asked: 4096, has: 4096, want: pass },
  {
    name: 'a smaller one is pinned',
    asked: 2048,
    has: 4096,
    want: { numCtx: 4096, reloads: false, saves: true },
  },
  { name: 'a larger one reloads', asked: 8192, has: 4096, want: reload },
  { name: 'a cold model loads as asked', asked: 2048, has: 'cold', want: pass },
  { name: 'a context that the node does not tell', asked: 2048, has: 'untold', want: pass },
  // Buckets.
  {
    name: 'a larger one goes up to the next bucket',
    asked: 5000,
    has: 4096,
    policy: { numCtxBuckets: [4096, 8192, 32_768] },
    want: { numCtx: 8192, reloads: true, saves: false },
  },
  {
    name: 'a cold model is loaded at the bucket',
    asked: 5000,
    has: 'cold',
    policy: { numCtxBuckets: [8192] },
    want: { numCtx: 8192, reloads: false, saves: false },
  },
  {
    name: 'one beyond all buckets stays as it is',
    asked: 9000,
    has: 4096,
    policy: { numCtxBuckets: [4096, 8192] },
    want: reload,
  },
  {
    name: 'the bucket is the context in memory',
    asked: 5000,
    has: 8192,
    policy: { numCtxBuckets: [8192] },
    want: { numCtx: 8192, reloads: false, saves: true },
  },
  // Limits.
  {
    name: 'more than the policy allows is cut',
    asked: 1_000_000_000,
    has: 4096,
    policy: { numCtxMax: 16_384 },
    want: { numCtx: 16_384, reloads: true, saves: false },
  },
  {
    name: 'and meets what is in memory then',
    asked: 1_000_000_000,
    has: 16_384,
    policy: { numCtxMax: 16_384 },
    want: { numCtx: 16_384, reloads: false, saves: true },
  },
  {
    name: 'more than the model was trained for is what Ollama makes of it',
    asked: 1_000_000,
    has: 8192,
    known: { trainedContext: 8192 },
    want: { numCtx: 8192, reloads: false, saves: true },
  },
  {
    name: 'a bucket is no larger than the model was trained for',
    asked: 5000,
    has: 4096,
    policy: { numCtxBuckets: [16_384] },
    known: { trainedContext: 8192 },
    want: { numCtx: 8192, reloads: true, saves: false },
  },
  // No context by the client.
  { name: 'nothing asked, default not known', has: 8192, want: pass },
  { name: 'nothing asked, default in memory', has: 4096, known: { defaultContext: 4096 }, want: pass },
  {
    name: 'nothing asked, more in memory: pinned',
    has: 8192,
    known: { defaultContext: 4096 },
    want: { numCtx: 8192, reloads: false, saves: true },
  },
  {
    name: 'nothing asked, less in memory: nobody gets less than the default',
    has: 2048,
    known: { defaultContext: 4096 },
    want: reload,
  },
  {
    name: 'nothing asked of Ollama 0.30: it takes what is in memory',
    has: 8192,
    known: { defaultContext: 4096, version: '0.30.1-rc0' },
    want: pass,
  },
  {
    name: 'nothing asked of Ollama 1.0',
    has: 8192,
    known: { defaultContext: 4096, version: '1.0.0' },
    want: pass,
  },
  {
    name: 'nothing asked of Ollama 0.24',
    has: 8192,
    known: { defaultContext: 4096, version: '0.24.0' },
    want: { numCtx: 8192, reloads: false, saves: true },
  },
  // Where nothing can be set.
  { name: '/v1, default in memory', path: V1, has: 4096, known: { defaultContext: 4096 }, want: pass },
  {
    name: '/v1, another context in memory',
    path: V1,
    has: 8192,
    known: { defaultContext: 4096 },
    want: reload,
  },
  { name: '/v1, default not known', path: V1, has: 8192, want: pass },
  { name: '/v1, whatever its body says', path: V1, asked: 2048, has: 4096, want: pass },
  { name: '/v1/messages', path: MESSAGES, has: 8192, known: { defaultContext: 4096 }, want: reload },
  // Off.
  { name: 'off: a smaller one reloads', asked: 2048, has: 4096, policy: { numCtx: 'off' }, want: reload },
  {
    name: 'off: nothing asked',
    has: 8192,
    policy: { numCtx: 'off' },
    known: { defaultContext: 4096 },
    want: reload,
  },
  {
    name: 'off: buckets do nothing',
    asked: 5000,
    has: 'cold',
    policy: { numCtx: 'off', numCtxBuckets: [8192] },
    want: pass,
  },
  {
    name: 'off: the limit still counts',
    asked: 9000,
    has: 4096,
    policy: { numCtx: 'off', numCtxMax: 4096 },
    want: { numCtx: 4096, reloads: false, saves: true },
  },
  { name: 'off: Ollama makes 4 of less', asked: 1, has: 4, policy: { numCtx: 'off' }, want: pass },
];

it.each(CASES)('$name', ({ asked, has, policy, known, path, want }) => {
  const memory = has === 'cold' ? undefined : loaded(has === 'untold' ? undefined : has);
  const given = contextOn(
    request({ numCtx: asked, ...path }),
    memory,
    { ...DEFAULT_REWRITES, ...policy },
    known,
  );
  expect(given).toEqual(want);
});

it('a description needs no context', () => {
  const show = request({ operation: 'show', numCtx: 1 });
  expect(contextOn(show, loaded(4096), DEFAULT_REWRITES)).toEqual(pass);
});

describe('whatever is asked and in memory', () => {
  const context = fc.integer({ min: 1, max: 200_000 });
  const policies = fc.record({
    numCtx: fc.constantFrom('pin' as const, 'off' as const),
    numCtxBuckets: fc.uniqueArray(context, { maxLength: 4 }).map((all) => all.sort((a, b) => a - b)),
    numCtxMax: fc.option(context, { nil: undefined }),
  });
  const cases = fc.record({
    asked: fc.option(context, { nil: undefined }),
    has: fc.option(context, { nil: undefined }),
    policy: policies,
    known: fc.record({
      defaultContext: fc.option(context, { nil: undefined }),
      trainedContext: fc.option(context, { nil: undefined }),
    }),
  });

  it('a client gets what it asked for or more, within the limits, or what is in memory', () => {
    fc.assert(
      fc.property(cases, ({ asked, has, policy, known }) => {
        const { numCtx } = contextOn(
          request({ numCtx: asked }),
          loaded(has),
          { ...DEFAULT_REWRITES, ...policy },
          known,
        );
        const limit = Math.min(policy.numCtxMax ?? Infinity, known.trainedContext ?? Infinity);
        const due = Math.min(asked ?? known.defaultContext ?? 0, limit);
        expect(numCtx ?? Infinity).toBeGreaterThanOrEqual(due);
        if (numCtx !== undefined && numCtx !== has && asked !== undefined)
          expect(numCtx).toBeLessThanOrEqual(Math.max(limit, 4));
      }),
    );
  });

  it('with pinning, apps of any contexts cause at most as many loads as there are larger contexts', () => {
    fc.assert(
      fc.property(fc.array(context, { minLength: 1, maxLength: 50 }), policies, (asked, policy) => {
        const pin = { ...DEFAULT_REWRITES, ...policy, numCtx: 'pin' as const };
        let memory: number | undefined;
        let loads = 0;
        let largest = 0;
        let records = 0;
        for (const numCtx of asked) {
          const choice = contextOn(
            request({ numCtx }),
            memory === undefined ? undefined : loaded(memory),
            pin,
          );
          const sent = Math.max(choice.numCtx ?? numCtx, 4);
          expect(choice.reloads).toBe(memory !== undefined && sent !== memory);
          if (sent !== memory) loads += 1;
          memory = sent;
          if (numCtx > largest) records += 1;
          largest = Math.max(largest, numCtx);
        }
        expect(loads).toBeLessThanOrEqual(records);
      }),
    );
  });
});
