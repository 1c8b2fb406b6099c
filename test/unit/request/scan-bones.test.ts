import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { INFERENCE_ENDPOINTS, inferenceEndpoint } from '../../../src/request/endpoints.ts';
import { scanBody } from '../../../src/request/scan-body.ts';
import { scanBones } from '../../../src/request/scan-bones.ts';
import type { InferenceEndpoint } from '../../../src/request/types.ts';
import { asReceived, bonesOf } from './bones-of.ts';
import { arbitraryBody, fromBinary, utf8 } from './generators.ts';
import { outcome } from './refusal.ts';

const endpoints = fc.constantFrom(...INFERENCE_ENDPOINTS);
const chat = inferenceEndpoint('/api/chat') as InferenceEndpoint; // in the table, see endpoints.test.ts

const fromBones = (body: string | Uint8Array) => {
  const bytes = typeof body === 'string' ? utf8(body) : body;
  const bones = bonesOf(bytes);
  if (bones === undefined) return 'no bones';
  return outcome(() => scanBones(asReceived(bones), chat, bytes.length));
};
const fromBody = (body: string) => outcome(() => scanBody(utf8(body), chat, utf8(body).length));
const range = (length: number) => Array.from({ length }, (_, index) => index);
/** Makes a body too long to be passed on whole. */
const pad = `"pad":"${'p'.repeat(1100)}"`;

describe('scanBones', () => {
  it('reads from the bones of a long chat what the body says', () => {
    const content = 'Why is the sky blue?\\nBecause \\"blue\\" is.\\n'.repeat(30);
    const body = `{"model":"LLAMA3:8b","stream":false,"options":{"num_ctx":8192},"keep_alive":"0s","messages":[${Array(
      40,
    )
      .fill(`{"role":"user","content":"${content}"}`)
      .join(',')}]}`;
    expect(bonesOf(utf8(body))?.length).toBeLessThan(6000);
    expect(fromBones(body)).toEqual(fromBody(body));
    expect(fromBones(body)).toMatchObject({
      model: { key: 'llama3:8b' },
      numCtx: 8192,
      unloads: true,
      stream: false,
    });
  });

  it.each([
    ...range(12).map((shift) => ['unicode escapes', `${'x'.repeat(shift)}${'\\u4e2d'.repeat(100)}`]),
    ...range(2).map((shift) => ['simple escapes', `${'x'.repeat(shift)}${'\\n'.repeat(400)}`]),
    ...range(3).map((shift) => ['UTF-8 of three bytes', `${'x'.repeat(shift)}${'中'.repeat(200)}`]),
    ...range(4).map((shift) => ['UTF-8 of four bytes', `${'x'.repeat(shift)}${'😀'.repeat(200)}`]),
    ['exactly 300 bytes', 'x'.repeat(300)],
    ['exactly 301 bytes', 'x'.repeat(301)],
    ['digits and hashes', '#301'.repeat(100)],
  ])('accepts a cut anywhere: %s', (_, content) => {
    const body = `{"model":"a","${content}":1,${pad},"messages":[{"content":"${content}"}]}`;
    expect(fromBones(body)).toEqual(fromBody(body));
    expect(fromBones(body)).toMatchObject({ model: { raw: 'a' } });
  });

  it.each([
    ['a long model name', `{"model":"${'h'.repeat(340)}/ns/m:t",${pad}}`],
    ['a long bad model name', `{"model":"${'<x>'.repeat(400)}",${pad}}`],
    ['a long keep_alive', `{"model":"a","keep_alive":"${'0s'.repeat(200)}",${pad}}`],
    ['a model name that looks cut', `{"model":"${'m'.repeat(64)}#301"}`],
    ['broken JSON', `{"model":"a",}`],
    ['half a document', `{"model":"a"`],
    ['nothing', ''],
    ['a byte that was not UTF-8', fromBinary(`{"model":"a","p":"\xff",${pad}}`)],
    ['an older filter that let a NUL end them', `{"model":"a`],
  ])('wants the body for %s', (_, body) => {
    expect(fromBones(body)).toBeUndefined();
  });

  it.each([
    ['{"model":"a","Model":"b"}', 'ambiguous_model'],
    ['{"model":"a",PAD,"model":"b"}', 'ambiguous_model'],
    ['{PAD}', 'model_required'],
    ['{"model":"a#301",PAD}', 'invalid_model_name'],
    ['{"model":"a b",PAD}', 'invalid_model_name'],
    ['{"model":"a:cloud",PAD}', 'not_allowed'],
  ])('refuses at once what needs no more looking: %s', (body, code) => {
    expect(fromBones(body.replace('PAD', pad))).toBe(code);
  });

  it('takes bones whose body length is not known for what they are', () => {
    const body = `{"model":"a",${pad}}`;
    const bones = asReceived(bonesOf(utf8(body)) ?? new Uint8Array());
    expect(scanBones(bones, chat, bones.length)?.model.raw).toBe('a');
  });

  it.each([
    ['an escape split elsewhere than at a cut', '{"model":"a","p":"x\\#301"}'],
    ['a cut of too few bytes', `{"model":"a","p":"${'x'.repeat(62)}\\#301"}`],
    ['a cut of too many bytes', `{"model":"a","p":"${'x'.repeat(64)}\\#301"}`],
    ['a cut of a string that is short', `{"model":"a","p":"${'x'.repeat(63)}\\#300"}`],
    ['a length that no body has', `{"model":"a","p":"${'x'.repeat(63)}\\#30100000000"}`],
    ['a length that is no number', `{"model":"a","p":"${'x'.repeat(63)}\\#0301"}`],
    ['more than a length', `{"model":"a","p":"${'x'.repeat(63)}\\#301x"}`],
    [
      'an escape split at what looks like the cut',
      `{"model":"a","p":"${'\ufffd'.repeat(3)}${'x'.repeat(51)}\\u00#301"}`,
    ],
    ['an escape split among replaced bytes', `{"model":"a","p":"${'\ufffd'.repeat(47)}\\u00#301"}`],
  ])('wants the body, whatever its length, for %s', (_, bones) => {
    expect(scanBones(bones, chat, utf8(bones).length)).toBeUndefined();
  });

  it('wants the body where the lengths do not add up', () => {
    const body = `{"model":"a",${pad}}`;
    const bones = asReceived(bonesOf(utf8(body)) ?? new Uint8Array());
    expect(scanBones(bones, chat, body.length + 1)).toBeUndefined();
    expect(scanBones(bones, chat, body.length - 1)).toBeUndefined();
  });

  it('reads bytes as it reads text', () => {
    fc.assert(
      fc.property(arbitraryBody(), endpoints, (body, endpoint) => {
        const bones = bonesOf(body);
        if (bones === undefined) return;
        const received = asReceived(bones);
        const [text, bytes] = [received, utf8(received)].map((sent) =>
          outcome(() => scanBones(sent, endpoint, body.length)),
        );
        expect(text).toEqual(bytes);
      }),
      { numRuns: 1000 },
    );
  });

  it('equals the body, refuses with it, or asks for it', () => {
    const seen = { equal: 0, cut: 0, hidden: 0, refused: 0, asked: 0 };
    fc.assert(
      fc.property(arbitraryBody(), endpoints, fc.boolean(), (body, endpoint, isLengthKnown) => {
        const bones = bonesOf(body);
        if (bones === undefined) return;
        const received = asReceived(bones);
        const bodyBytes = isLengthKnown ? body.length : utf8(received).length;
        const fromBones = outcome(() => scanBones(received, endpoint, bodyBytes));
        const fromBody = outcome(() => scanBody(body, endpoint, bodyBytes));
        if (fromBones === undefined) seen.asked++;
        else if (typeof fromBones === 'string') {
          seen.refused++;
          expect(fromBody).toBeTypeOf('string');
        } else if (fromBody === 'invalid_json') {
          // Only what a cut may hide: with every string made well, the body says the same.
          seen.hidden++;
          const mended = outcome(() => scanBody(mendStrings(body), endpoint, bodyBytes));
          expect({ ...Object(mended), ...UNMENDED }).toEqual({ ...fromBones, ...UNMENDED });
        } else {
          seen.equal++;
          if (bones.length < body.length) seen.cut++;
          expect(fromBones).toEqual(fromBody);
        }
      }),
      { numRuns: 8_000 },
    );
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(20);
  }, 60_000);

  it('never knows better than the body when every string is well formed', () => {
    fc.assert(
      fc.property(arbitraryBody().map(mendStrings), endpoints, (body, endpoint) => {
        const bones = bonesOf(body);
        if (bones === undefined) return;
        const fromBones = outcome(() => scanBones(asReceived(bones), endpoint, body.length));
        const fromBody = outcome(() => scanBody(body, endpoint, body.length));
        if (fromBones !== undefined && typeof fromBones !== 'string') expect(fromBones).toEqual(fromBody);
        else if (typeof fromBones === 'string') expect(fromBody).toBeTypeOf('string');
      }),
      { numRuns: 5000 },
    );
  }, 60_000);
});

/** What is made of the text itself; a string that looked cut by a bad escape no longer does once it is mended. */
const UNMENDED = { fingerprint: '', prefixes: [], promptBytes: 0 };

/** Replaces every string of more than 64 bytes that is not well formed by harmless text of the same length and head. */
function mendStrings(body: Uint8Array): Uint8Array {
  const binary = Array.from(body, (byte) => String.fromCharCode(byte)).join('');
  return fromBinary(
    binary.replaceAll(/"((?:[^"\\]|\\[\s\S])*)"/g, (quoted, content: string) =>
      content.length <= 64 || isWellFormed(quoted)
        ? quoted
        : `"${headOf(content).padEnd(content.length, 'x')}"`,
    ),
  );
}

/** As many whole and well-formed characters as the first 64 bytes have. */
function headOf(content: string): string {
  let head = '';
  for (const [unit] of content.matchAll(/\\u[0-9A-Fa-f]{4}|\\["\\/bfnrt]|[^\\]|\\/g)) {
    if (unit === '\\' || head.length + unit.length > 64) break;
    head += unit;
  }
  return head;
}

function isWellFormed(quoted: string): boolean {
  try {
    return typeof JSON.parse(quoted) === 'string';
  } catch {
    return false;
  }
}
