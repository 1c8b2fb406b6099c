import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BodyScanner } from '../../../src/request/body-scanner.ts';
import { INFERENCE_ENDPOINTS } from '../../../src/request/endpoints.ts';
import { modelKey } from '../../../src/request/model-name.ts';
import { scanBody } from '../../../src/request/scan-body.ts';
import { arbitraryBody, utf8 } from './generators.ts';
import { outcome } from './refusal.ts';

const endpoints = fc.constantFrom(...INFERENCE_ENDPOINTS);
const text = new TextDecoder('utf-8', { ignoreBOM: true });

describe('scanBody against JSON.parse', () => {
  it('accepts nothing that JSON.parse refuses, and reads the same model, stream and num_ctx', () => {
    let accepted = 0;
    fc.assert(
      fc.property(arbitraryBody(), endpoints, (body, endpoint) => {
        const request = outcome(() => scanBody(body, endpoint, body.length));
        if (typeof request === 'string') return;
        accepted++;
        const parsed = JSON.parse(text.decode(body));
        const name = endpoint.acceptsName && (parsed.model ?? '') === '' ? parsed.name : parsed.model;
        expect(name.replace(/^ +| +$/g, '')).toBe(request.model.raw);
        expect(request.stream).toBe(typeof parsed.stream === 'boolean' ? parsed.stream : undefined);
        const numCtx = endpoint.family === 'ollama' ? contextLength(parsed.options) : undefined;
        expect(request.numCtx).toBe(numCtx);
        if (endpoint.family === 'ollama' && typeof parsed.keep_alive === 'number') {
          expect(request.unloads).toBe(parsed.keep_alive >= 0 && parsed.keep_alive < 1);
        }
      }),
      { numRuns: 6_000 },
    );
    expect(accepted).toBeGreaterThan(600);
  });

  it('accepts every document that names its model once and plainly', () => {
    const isOurs = /^(model|name|stream|options|keep_alive)$/iu;
    const members = fc.dictionary(
      fc.string({ unit: 'grapheme' }).filter((key) => !isOurs.test(key)),
      fc.jsonValue({ maxDepth: 6 }),
    );
    const name = fc.string({ unit: fc.constantFrom(...'abZ09_.:/-'), minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(
        members,
        name,
        fc.nat(),
        fc.constantFrom(0, 1, 2, '\t'),
        endpoints,
        (others, model, at, indent, endpoint) => {
          fc.pre(modelKey(model) !== undefined);
          const entries = Object.entries(others);
          const all = entries.toSpliced(at % (entries.length + 1), 0, ['model', model]);
          const body = utf8(JSON.stringify(Object.fromEntries(all), undefined, indent));
          expect(scanBody(body, endpoint, body.length).model.raw).toBe(model);
        },
      ),
      { numRuns: 5000 },
    );
  });

  it('says the same in slices of any size', () => {
    fc.assert(
      fc.property(arbitraryBody(), endpoints, fc.integer({ min: 1, max: 40 }), (body, endpoint, budget) => {
        const whole = outcome(() => scanBody(body, endpoint, body.length));
        const sliced = outcome(() => {
          const scanner = new BodyScanner(endpoint, body.length);
          while (!scanner.step(body, budget));
          return scanner.result();
        });
        expect(sliced).toEqual(whole);
      }),
      { numRuns: 5000 },
    );
  });

  it('does not mind where in a buffer the body lies', () => {
    fc.assert(
      fc.property(arbitraryBody(), endpoints, fc.nat({ max: 9 }), (body, endpoint, offset) => {
        const larger = new Uint8Array(body.length + offset + 8).fill(0x22);
        larger.set(body, offset);
        const moved = larger.subarray(offset, offset + body.length);
        const read = (bytes: Uint8Array) => outcome(() => scanBody(bytes, endpoint, bytes.length));
        expect(read(moved)).toEqual(read(body));
      }),
      { numRuns: 2000 },
    );
  });

  it('B12: pollutes no prototype', () => {
    scanBody(utf8('{"__proto__":{"polluted":1},"model":"__proto__"}'), INFERENCE_ENDPOINTS[0] as never, 1);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

function contextLength(options: unknown): number | undefined {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return undefined;
  const value: unknown = Reflect.get(options, 'num_ctx');
  if (typeof value !== 'number') return undefined;
  return Number.isSafeInteger(Math.trunc(value)) && value >= 1 ? Math.trunc(value) : undefined;
}
