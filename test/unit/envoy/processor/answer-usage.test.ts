import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Usage } from '../../../../src/app/types.ts';
import { TAP } from '../../../../src/envoy/names.ts';
import { AnswerTail, TAIL_BYTES } from '../../../../src/envoy/processor/answer-tail.ts';
import {
  type AnswerKind,
  answerKind,
  endsWell,
  usageIn,
} from '../../../../src/envoy/processor/answer-usage.ts';
import { COUNTED_ANSWERS, type CountedAnswer } from '../../../support/counted-answers.ts';

const KINDS: readonly AnswerKind[] = ['object', 'lines', 'events'];

function tailOf(pieces: readonly Uint8Array[]): string {
  const tail = new AnswerTail();
  for (const piece of pieces) tail.push(piece);
  return tail.text();
}

/** The bytes in pieces whose lengths are those given, over and over. */
function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const size = Math.max(1, sizes[i % sizes.length] ?? 1);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

/** What the Lua tap writes, as we read it. */
function usageOf(want: CountedAnswer['want']): Usage {
  const number = (name: string): number | undefined => {
    const value = want[name];
    return typeof value === 'number' ? value : undefined;
  };
  const ms = (name: string): number | undefined => {
    const ns = number(name);
    return ns === undefined ? undefined : ns / 1e6;
  };
  return {
    promptTokens: number(TAP.promptTokens),
    completionTokens: number(TAP.completionTokens),
    totalMs: ms(TAP.totalNs),
    loadMs: ms(TAP.loadNs),
    promptEvalMs: ms(TAP.promptEvalNs),
    evalMs: ms(TAP.evalNs),
    sawError: want[TAP.error] === true,
  };
}

describe('the figures of an answer', () => {
  const read = COUNTED_ANSWERS.filter(
    ({ type, status = 200 }) => status === 200 && answerKind(type) !== undefined,
  );

  it.each(read)('are those that the Lua tap reads: $name', ({ type, body, want }) => {
    const kind = answerKind(type) ?? 'object';
    for (const sizes of [[1], [97], [1, 2048, 3], [Number.MAX_SAFE_INTEGER]])
      expect(usageIn(tailOf(cut(Buffer.from(body), sizes)), kind)).toEqual(usageOf(want));
  });

  it('are the same however the answer is cut into pieces', () => {
    const pieceSizes = fc.array(fc.integer({ min: 1, max: 3 * TAIL_BYTES }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(fc.constantFrom(...read), pieceSizes, fc.nat(9_000), ({ type, body }, sizes, more) => {
        const bytes = Buffer.concat([Buffer.alloc(more, 'x'), Buffer.from(body)]);
        const kind = answerKind(type) ?? 'object';
        const whole = tailOf([bytes]);
        expect(whole).toBe(bytes.toString('latin1').slice(-TAIL_BYTES));
        const pieces = tailOf(cut(bytes, sizes));
        expect(pieces).toBe(whole);
        expect(usageIn(pieces, kind)).toEqual(usageIn(whole, kind));
      }),
      { numRuns: 300 },
    );
  });

  it('are numbers that can be counted with, or nothing, whatever the answer holds', () => {
    const word = fc.constantFrom(
      '"eval_count"',
      '"prompt_tokens"',
      '"total_duration"',
      ':',
      '9'.repeat(400),
      ' ',
      '\n',
      '{"error"',
      '"done":true',
      '[DONE]',
    );
    const hostile = fc.oneof(
      fc.array(word, { maxLength: 300 }).map((words) => Buffer.from(words.join(''))),
      fc.uint8Array({ maxLength: 5_000 }).map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(hostile, fc.constantFrom(...KINDS), (bytes, kind) => {
        const { sawError, ...figures } = usageIn(tailOf([bytes]), kind);
        expect(typeof sawError).toBe('boolean');
        for (const figure of Object.values(figures))
          expect(figure === undefined || (figure >= 0 && figure <= 1e15)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('take no time for bodies made to take long: no more steps than the tail has bytes for each word', () => {
    for (const filler of ['"eval_count"', '"eval_count": ', '"eval_count":x', ' ', '"'])
      for (const kind of KINDS) {
        const tail = filler.repeat(Math.ceil(TAIL_BYTES / filler.length)).slice(0, TAIL_BYTES);
        expect(usageIn(tail, kind).completionTokens).toBeUndefined();
      }
  });

  it('do not count a word without a number: the last that has one does', () => {
    expect(usageIn('{"eval_count": 7, "x":{"eval_count":null}}', 'object').completionTokens).toBe(7);
    expect(usageIn('{"eval_count": 7, "eval_count" : 8}', 'object').completionTokens).toBe(8);
  });
});

it.each([
  { kind: 'lines', tail: '{"done":false}\n{"done":true}\n', want: true },
  { kind: 'lines', tail: '{"done":false}\n', want: false },
  { kind: 'events', tail: 'data: {}\n\ndata: [DONE]\n\n', want: true },
  { kind: 'events', tail: 'data: {}\n\n', want: false },
  { kind: 'object', tail: '{"done":true}', want: false },
] as const)('an answer in $kind tells by its end whether all of it came: $tail', ({ kind, tail, want }) => {
  expect(endsWell(tail, kind)).toBe(want);
});
