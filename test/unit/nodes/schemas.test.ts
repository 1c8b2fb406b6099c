import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PollError } from '../../../src/nodes/poll-error.ts';
import { MAX_MODELS, parseResident, parseTags, parseVersion } from '../../../src/nodes/schemas.ts';
import { modelKey } from '../../../src/request/model-name.ts';
import { alpha } from './scripted-node.ts';

const one = (fields: Record<string, unknown>) => parseResident({ models: [{ ...alpha, ...fields }] })[0];

describe('what Ollama answers', () => {
  it('reads a model in memory', () => {
    expect(parseResident({ models: [alpha] })).toEqual([
      {
        key: 'alpha:latest',
        name: 'alpha:latest',
        digest: alpha.digest,
        sizeBytes: 2_326_272,
        vramBytes: 0,
        contextLength: 4096,
        expiresAt: alpha.expires_at,
        details: alpha.details,
      },
    ]);
  });

  it('reads a model on disk', () => {
    const { expires_at: _, size_vram: __, context_length: ___, ...onDisk } = alpha;
    const modified_at = '2026-11-21T08:32:00.625Z';
    expect(parseTags({ models: [{ ...onDisk, modified_at }] })).toEqual([
      {
        key: 'alpha:latest',
        name: 'alpha:latest',
        digest: alpha.digest,
        sizeBytes: 2_326_272,
        modifiedAt: modified_at,
        details: alpha.details,
      },
    ]);
  });

  it.each([[{ models: [] }], [{ models: null }]])('takes %j as no model', (answer) => {
    expect(parseResident(answer)).toEqual([]);
    expect(parseTags(answer)).toEqual([]);
  });

  it('reads the version', () => {
    expect(parseVersion({ version: '0.24.0-rc1' })).toBe('0.24.0-rc1');
  });
});

describe('what a lying node answers (F66)', () => {
  it.each([
    { name: 'a negative size', fields: { size: -5 }, want: { sizeBytes: 0 } },
    { name: 'a size that is no number', fields: { size: Number.NaN }, want: { sizeBytes: 0 } },
    { name: 'a size beyond every machine', fields: { size: 1e308 }, want: { sizeBytes: 2 ** 50 } },
    { name: 'a size as text', fields: { size: '12' }, want: { sizeBytes: 0 } },
    {
      name: 'more VRAM than size',
      fields: { size: 10, size_vram: 99 },
      want: { sizeBytes: 10, vramBytes: 10 },
    },
    { name: 'a fraction', fields: { size: 10.7 }, want: { sizeBytes: 10 } },
    { name: 'a context of zero', fields: { context_length: 0 }, want: { contextLength: undefined } },
    { name: 'a negative context', fields: { context_length: -1 }, want: { contextLength: undefined } },
    { name: 'a huge context', fields: { context_length: 1e300 }, want: { contextLength: 2 ** 30 } },
    {
      name: 'year 0001',
      fields: { expires_at: '0001-01-01T00:00:00Z' },
      want: { expiresAt: '0001-01-01T00:00:00Z' },
    },
    {
      name: 'year 9999',
      fields: { expires_at: '9999-12-31T23:59:59Z' },
      want: { expiresAt: '9999-12-31T23:59:59Z' },
    },
    { name: 'no date', fields: { expires_at: 'soon' }, want: { expiresAt: '0001-01-01T00:00:00Z' } },
    {
      name: 'a 13th month',
      fields: { expires_at: '2026-13-01T00:00:00Z' },
      want: { expiresAt: '0001-01-01T00:00:00Z' },
    },
    { name: 'a digest that is none', fields: { digest: '<b>' }, want: { digest: '' } },
    {
      name: 'details that are a list',
      fields: { details: [] },
      want: {
        details: {
          ...alpha.details,
          format: '',
          family: '',
          families: null,
          parameter_size: '',
          quantization_level: '',
        },
      },
    },
    {
      name: 'control characters and markup in details',
      fields: {
        details: { ...alpha.details, family: 'l\u0000a\u001b[31mm\u202ea', families: ['x'.repeat(500), 5] },
      },
      want: { details: { ...alpha.details, family: 'la[31mma', families: ['x'.repeat(128), ''] } },
    },
  ])('$name', ({ fields, want }) => {
    expect(one(fields)).toMatchObject(want);
  });

  it.each([
    { name: 'a control character', model: 'a\nb' },
    { name: 'markup', model: '<script>' },
    { name: 'no characters', model: '' },
    { name: 'a number', model: 7 },
    { name: 'a megabyte', model: 'x'.repeat(1_000_000) },
  ])('drops an entry whose name is or has $name, and keeps the others', ({ model }) => {
    const answer = { models: [{ ...alpha, name: model }, null, 5, [], alpha] };
    expect(parseResident(answer).map(({ key }) => key)).toEqual(['alpha:latest']);
  });

  it('keeps the first of entries that name one model', () => {
    const answer = {
      models: [
        { ...alpha, size: 1 },
        { ...alpha, name: 'ALPHA', size: 2 },
      ],
    };
    expect(parseResident(answer).map(({ sizeBytes }) => sizeBytes)).toEqual([1]);
  });

  it('stops at the number of models that a node can have', () => {
    const models = Array.from({ length: 100_000 }, (_, i) => ({ ...alpha, name: `m${i}` }));
    expect(parseTags({ models })).toHaveLength(MAX_MODELS);
  });

  it.each([[null], [5], ['x'], [[]], [{}], [{ models: {} }], [{ models: 'x' }], [{ error: 'no' }]])(
    'refuses %j as a whole',
    (answer) => {
      expect(() => parseResident(answer)).toThrow(PollError);
      expect(() => parseTags(answer)).toThrow(PollError);
      expect(() => parseVersion(answer)).toThrow(PollError);
    },
  );

  it('is no way to reach an object’s prototype', () => {
    const answer = JSON.parse(
      '{"models":[{"name":"alpha","__proto__":{"size":5},"details":{"__proto__":{"family":"x"}}}]}',
    );
    expect(parseResident(answer)[0]).toMatchObject({ sizeBytes: 0, details: { family: '' } });
  });
});

it('gives only bounded, clean values whatever a node answers', () => {
  const number = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(-1, 1e308, -0, Number.MAX_SAFE_INTEGER));
  const anything = fc.oneof(
    number,
    fc.string(),
    fc.constant(null),
    fc.boolean(),
    fc.anything({ maxDepth: 2 }),
  );
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('alpha', 'b:7b', 'h/n/m:t'), anything);
  const entry = fc.record(
    {
      name: text,
      model: text,
      size: anything,
      size_vram: anything,
      digest: text,
      context_length: anything,
      expires_at: fc.oneof(
        text,
        fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
      ),
      modified_at: text,
      details: fc.oneof(
        anything,
        fc.dictionary(fc.constantFrom('family', 'families', 'format', 'x'), anything),
      ),
    },
    { requiredKeys: [] },
  );
  const clean = /^[\x20-\x7e]*$/;
  fc.assert(
    fc.property(fc.record({ models: fc.array(fc.oneof(entry, anything), { maxLength: 5 }) }), (answer) => {
      for (const model of parseResident(answer)) {
        expect(modelKey(model.name)).toBe(model.key);
        expect(Number.isSafeInteger(model.sizeBytes)).toBe(true);
        expect(model.vramBytes).toBeGreaterThanOrEqual(0);
        expect(model.vramBytes).toBeLessThanOrEqual(model.sizeBytes);
        expect(model.contextLength ?? 1).toBeGreaterThanOrEqual(1);
        expect(Date.parse(model.expiresAt)).not.toBeNaN();
        expect(clean.test(JSON.stringify(model))).toBe(true);
      }
      for (const model of parseTags(answer)) {
        expect(model.sizeBytes).toBeGreaterThanOrEqual(0);
        expect(clean.test(JSON.stringify(model))).toBe(true);
        expect(JSON.stringify(model).length).toBeLessThan(8_192);
      }
    }),
    { numRuns: 10_000 },
  );
});
