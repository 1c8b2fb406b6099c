import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BodyEditor, editBody } from '../../../src/request/edit-body.ts';
import { inferenceEndpoint } from '../../../src/request/endpoints.ts';
import { RUNNER_OPTIONS } from '../../../src/request/request-fields.ts';
import { scanBody } from '../../../src/request/scan-body.ts';
import type { BodyEdit, InferenceEndpoint } from '../../../src/request/types.ts';
import { arbitraryBody, utf8 } from './generators.ts';
import { outcome } from './refusal.ts';

const endpoint = (path: string) => inferenceEndpoint(path) as InferenceEndpoint; // in the table, see endpoints.test.ts
const chat = endpoint('/api/chat');
const show = endpoint('/api/show');
const openai = endpoint('/v1/chat/completions');
const text = (bytes: Uint8Array) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
const edited = (body: string, edits: readonly BodyEdit[], at = chat) => text(editBody(utf8(body), at, edits));

const model = (to: string): BodyEdit => ({ field: 'model', to });
const numCtx = (to: number): BodyEdit => ({ field: 'num_ctx', to });
const keepAlive = (to: number): BodyEdit => ({ field: 'keep_alive', to });
const without = (name: string): BodyEdit => ({ field: 'option', name });

describe('editBody', () => {
  it.each<[string, string, readonly BodyEdit[], string]>([
    ['model', ' { "model" : "gpt-4o" , "p":1}', [model('qwen3:32b')], ' { "model" : "qwen3:32b" , "p":1}'],
    ['an escaped model', '{"mod\\u0065l":"\\u0061b"}', [model('c')], '{"mod\\u0065l":"c"}'],
    [
      'a nested model stays',
      '{"x":{"model":"a"},"model":"a"}',
      [model('b')],
      '{"x":{"model":"a"},"model":"b"}',
    ],
    ['a name with quotes', '{"model":"a"}', [model('a"\\\u0001')], '{"model":"a\\"\\\\\\u0001"}'],
    [
      'num_ctx',
      '{"options":{"num_ctx": 2048 ,"a":1}}',
      [numCtx(8192)],
      '{"options":{"num_ctx": 8192 ,"a":1}}',
    ],
    [
      'the last num_ctx',
      '{"options":{"num_ctx":1,"num_ctx":2}}',
      [numCtx(3)],
      '{"options":{"num_ctx":1,"num_ctx":3}}',
    ],
    ['an escaped num_ctx', '{"options":{"num\\u005fctx":1}}', [numCtx(3)], '{"options":{"num\\u005fctx":3}}'],
    [
      'num_ctx of another kind',
      '{"options":{"num_ctx":[1,{"a":2}],"b":1}}',
      [numCtx(3)],
      '{"options":{"num_ctx":3,"b":1}}',
    ],
    [
      'num_ctx elsewhere',
      '{"a":{"num_ctx":1},"options":{"b":{"num_ctx":1}}}',
      [numCtx(3)],
      '{"a":{"num_ctx":1},"options":{"b":{"num_ctx":1},"num_ctx":3}}',
    ],
    ['num_ctx that is missing', '{"options":{ "a":1 }}', [numCtx(3)], '{"options":{ "a":1,"num_ctx":3 }}'],
    ['empty options', '{"options":{ }}', [numCtx(3)], '{"options":{"num_ctx":3 }}'],
    ['null options', '{"options":null,"a":1}', [numCtx(3)], '{"options":{"num_ctx":3},"a":1}'],
    ['missing options', '{"model":"a" }\n', [numCtx(3)], '{"model":"a","options":{"num_ctx":3} }\n'],
    ['an empty object', ' { } ', [numCtx(3)], ' {"options":{"num_ctx":3} } '],
    ['options that are none', '{"options":[{"num_ctx":1}]}', [numCtx(3)], '{"options":[{"num_ctx":1}]}'],
    ['keep_alive', '{"keep_alive":"5m","a":1}', [keepAlive(60)], '{"keep_alive":60,"a":1}'],
    [
      'keep_alive of another kind',
      '{"keep_alive":{"a":[1]},"a":1}',
      [keepAlive(0.5)],
      '{"keep_alive":0.5,"a":1}',
    ],
    ['keep_alive for ever', '{"keep_alive":0}', [keepAlive(-300)], '{"keep_alive":-1}'],
    ['keep_alive that is missing', '{"a":[1,2]}', [keepAlive(60)], '{"a":[1,2],"keep_alive":60}'],
    ['keep_alive in an empty object', '{}', [keepAlive(60)], '{"keep_alive":60}'],
    ['the first option', '{"options":{"num_gpu":1, "a":2}}', [without('num_gpu')], '{"options":{"a":2}}'],
    [
      'an option in between',
      '{"options":{"a":1, "num_gpu":{"b":[]} ,"c":2}}',
      [without('num_gpu')],
      '{"options":{"a":1 ,"c":2}}',
    ],
    ['the last option', '{"options":{"a":1 , "num_gpu":"x" }}', [without('num_gpu')], '{"options":{"a":1 }}'],
    ['the only option', '{"options":{ "num_gpu":1 }}', [without('num_gpu')], '{"options":{  }}'],
    [
      'an option written twice',
      '{"options":{"numa":1,"numa":2,"a":1,"numa":3,"numa":4}}',
      [without('numa')],
      '{"options":{"a":1}}',
    ],
    [
      'an option and nothing else, twice',
      '{"options":{"numa":1,"numa":2}}',
      [without('numa')],
      '{"options":{}}',
    ],
    ['an escaped option', '{"options":{"num\\u0061":true}}', [without('numa')], '{"options":{}}'],
    ['an option that is missing', '{"options":{"a":1}}', [without('numa')], '{"options":{"a":1}}'],
    ['options without object', '{"options":null}', [without('numa')], '{"options":null}'],
    [
      'several options',
      '{"options":{"numa":1,"num_gpu":2,"a":3,"num_gpu":4,"b":5,"numa":6}}',
      [without('numa'), without('num_gpu')],
      '{"options":{"a":3,"b":5}}',
    ],
    [
      'an option for num_ctx',
      '{"options":{"numa":1}}',
      [without('numa'), numCtx(3)],
      '{"options":{"num_ctx":3}}',
    ],
    [
      'an option after num_ctx',
      '{"options":{"a":1,"numa":1}}',
      [without('numa'), numCtx(3)],
      '{"options":{"a":1,"num_ctx":3}}',
    ],
    [
      'everything',
      '{"model":"a","prompt":"é"}',
      [model('b'), numCtx(3), keepAlive(-1), without('numa')],
      '{"model":"b","prompt":"é","options":{"num_ctx":3},"keep_alive":-1}',
    ],
    ['nothing', '{"model":"a"}', [], '{"model":"a"}'],
  ])('changes only its bytes: %s', (_, body, edits, want) => {
    expect(edited(body, edits)).toBe(want);
  });

  it('answers the same bytes where nothing changes', () => {
    const body = utf8('{"model":"a"}');
    expect(editBody(body, chat, [without('numa')])).toBe(body);
  });

  it.each([
    ['{"name":"a"}', '{"name":"b"}'],
    ['{"model":"","name":"a"}', '{"model":"","name":"b"}'],
    ['{"model":"a","name":""}', '{"model":"b","name":""}'],
    ['{"model":"a","name":null}', '{"model":"b","name":null}'],
    ['{"model":"a","name":"a"}', '{"model":"b","name":"b"}'],
  ])('renames %s where `name` names the model', (body, want) => {
    expect(edited(body, [model('b')], show)).toBe(want);
  });

  it('leaves `name` alone where it names nothing', () => {
    expect(edited('{"model":"a","name":"a"}', [model('b')])).toBe('{"model":"b","name":"a"}');
  });

  it('sets nothing but the model where the API knows nothing else', () => {
    const body = '{"model":"a","options":{"num_ctx":1,"numa":1},"keep_alive":0}';
    const edits = [model('b'), numCtx(3), keepAlive(-1), without('numa')];
    expect(edited(body, edits, openai)).toBe(body.replace('"a"', '"b"'));
  });

  it('refuses what is no JSON, and an option that is repeated without end', () => {
    expect(outcome(() => edited('{"model":"a"', [model('b')]))).toBe('invalid_json');
    const body = `{"options":{"a":1,${Array(5000).fill('"numa":1').join(',')}}}`;
    expect(outcome(() => edited(body, [without('numa')]))).toBe('invalid_json');
  });

  it('refuses to write what is no number', () => {
    for (const edit of [numCtx(Number.NaN), keepAlive(Number.POSITIVE_INFINITY)])
      expect(() => edited('{}', [edit])).toThrow(expect.objectContaining({ code: 'internal' }));
  });
});

/** A JSON text of a value with white space anywhere, and now and then an escaped key. */
function write(value: unknown, seed: () => number): string {
  const space = () => ['', '', '', ' ', '\n\t'][seed() % 5] ?? '';
  const key = (name: string) => {
    if (name === '' || seed() % 6 > 0) return JSON.stringify(name);
    const code = name.charCodeAt(0).toString(16).padStart(4, '0');
    return `"\\u${code}${JSON.stringify(name.slice(1)).slice(1)}`;
  };
  if (Array.isArray(value))
    return `[${space()}${value.map((item) => write(item, seed)).join(`${space()},${space()}`)}${space()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([name, item]) => `${key(name)}${space()}:${space()}${write(item, seed)}`,
  );
  return `{${space()}${members.join(`${space()},${space()}`)}${space()}}`;
}

const json = fc.jsonValue({ maxDepth: 2 });
const bodyOf = fc
  .record(
    {
      model: fc.constantFrom('a', 'llama3:8b', 'x/y:z'),
      stream: fc.boolean(),
      options: fc.oneof(
        {
          weight: 5,
          arbitrary: fc.dictionary(
            fc.constantFrom('num_ctx', 'temperature', 'stop', ...RUNNER_OPTIONS),
            json,
          ),
        },
        { weight: 1, arbitrary: fc.constant(null) },
      ),
      keep_alive: fc.constantFrom<unknown>(0, -1, '5m', 300, null, [1]),
      messages: json,
      extra: json,
    },
    { requiredKeys: ['model'] },
  )
  .chain((fields) =>
    fc.shuffledSubarray(Object.keys(fields), { minLength: 0 }).map((order) => {
      const keys = new Set([...order, ...Object.keys(fields)]);
      return Object.fromEntries([...keys].map((name) => [name, Reflect.get(fields, name) as unknown]));
    }),
  );
const written = fc
  .tuple(bodyOf, fc.infiniteStream(fc.nat({ max: 29 })))
  .map(([body, stream]) => write(body, () => stream.next().value));
const anEdit: fc.Arbitrary<BodyEdit> = fc.oneof(
  fc.constantFrom('b', 'qwen3:32b', 'hf.co/o/r:q').map(model),
  fc.integer({ min: 1, max: 1 << 20 }).map(numCtx),
  fc.oneof(fc.integer({ min: -2, max: 10_000 }), fc.constant(0.25)).map(keepAlive),
  fc.constantFrom(...RUNNER_OPTIONS).map(without),
);

/** What an edit means, on the parsed document. */
function apply(body: Record<string, unknown>, edit: BodyEdit): Record<string, unknown> {
  const options = body.options;
  const isObject = typeof options === 'object' && options !== null;
  switch (edit.field) {
    case 'model':
      return { ...body, model: edit.to };
    case 'keep_alive':
      return { ...body, keep_alive: edit.to < 0 ? -1 : edit.to };
    case 'num_ctx':
      return { ...body, options: { ...(isObject ? options : {}), num_ctx: edit.to } };
    case 'option':
      return isObject
        ? {
            ...body,
            options: Object.fromEntries(Object.entries(options).filter(([name]) => name !== edit.name)),
          }
        : body;
  }
}

describe('editBody on any body', () => {
  it('changes exactly that field of what JSON.parse reads', () => {
    let changed = 0;
    fc.assert(
      fc.property(written, fc.array(anEdit, { minLength: 1, maxLength: 4 }), (body, edits) => {
        const result = edited(body, edits);
        expect(JSON.parse(result)).toEqual(edits.reduce(apply, JSON.parse(body)));
        if (result !== body) changed++;
      }),
      { numRuns: 5000 },
    );
    expect(changed).toBeGreaterThan(3000);
  });

  it('leaves every other byte as it is', () => {
    fc.assert(
      fc.property(written, anEdit, (body, edit) => {
        const result = edited(body, [edit]);
        let prefix = 0;
        while (prefix < body.length && body[prefix] === result[prefix]) prefix++;
        const most = Math.min(body.length, result.length) - prefix;
        let suffix = 0;
        while (suffix < most && body.at(-1 - suffix) === result.at(-1 - suffix)) suffix++;
        const after = JSON.parse(result);
        const put =
          edit.field === 'model'
            ? JSON.stringify(edit.to)
            : edit.field === 'num_ctx'
              ? `,"options":{"num_ctx":${edit.to}}`
              : `,"keep_alive":${after.keep_alive}`;
        expect(result.length - suffix - prefix).toBeLessThanOrEqual(edit.field === 'option' ? 0 : put.length);
        const gone = body.slice(prefix, body.length - suffix);
        if (edit.field === 'model') expect(JSON.stringify(JSON.parse(body).model)).toContain(gone);
      }),
      { numRuns: 4000 },
    );
  });

  it('is read again as the request with those fields', () => {
    fc.assert(
      fc.property(written, anEdit, (body, edit) => {
        const before = outcome(() => scanBody(utf8(body), chat, body.length));
        if (typeof before === 'string') return;
        const bytes = editBody(utf8(body), chat, [edit]);
        const after = scanBody(bytes, chat, bytes.length);
        const expected = { ...before, bodyBytes: bytes.length, fingerprint: after.fingerprint };
        if (edit.field === 'model') Object.assign(expected, { model: after.model });
        else if (edit.field === 'num_ctx') Object.assign(expected, { numCtx: edit.to });
        else if (edit.field === 'keep_alive')
          Object.assign(expected, { keepAlive: Math.max(-1, edit.to), unloads: edit.to >= 0 && edit.to < 1 });
        else
          Object.assign(expected, {
            runnerOptions: before.runnerOptions.filter((name) => name !== edit.name),
          });
        expect(after).toEqual(expected);
        if (edit.field === 'model') expect(after.model.raw).toBe(edit.to);
      }),
      { numRuns: 4000 },
    );
  });

  it('does the same in slices of any size', () => {
    fc.assert(
      fc.property(
        written,
        fc.array(anEdit, { maxLength: 3 }),
        fc.integer({ min: 1, max: 30 }),
        (body, edits, budget) => {
          const bytes = utf8(body);
          const editor = new BodyEditor(chat, edits);
          expect(() => editor.result()).toThrow(expect.objectContaining({ code: 'internal' }));
          let steps = 1;
          while (!editor.step(bytes, budget)) steps++;
          expect(steps).toBeGreaterThanOrEqual(Math.floor(bytes.length / (budget + 6)));
          expect(text(editor.result())).toBe(edited(body, edits));
        },
      ),
      { numRuns: 1500 },
    );
  });

  it('makes JSON of whatever bodies were accepted: bytes that are not UTF-8, strange keys, repeated options', () => {
    let accepted = 0;
    fc.assert(
      fc.property(arbitraryBody(), fc.array(anEdit, { minLength: 1, maxLength: 3 }), (body, edits) => {
        const before = outcome(() => scanBody(body, chat, body.length));
        if (typeof before === 'string') return;
        accepted++;
        const bytes = editBody(body, chat, edits);
        const after = scanBody(bytes, chat, bytes.length);
        const asked = edits.findLast(({ field }) => field === 'model');
        expect(after.model.raw).toBe(asked?.field === 'model' ? asked.to : before.model.raw);
        expect(after.prefixes).toEqual(before.prefixes);
        for (const edit of edits)
          if (edit.field === 'option') expect(after.runnerOptions).not.toContain(edit.name);
      }),
      { numRuns: 5000 },
    );
    expect(accepted).toBeGreaterThan(500);
  });
});
