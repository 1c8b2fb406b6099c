import { describe, expect, it } from 'vitest';
import { BodyScanner } from '../../../src/request/body-scanner.ts';
import { inferenceEndpoint } from '../../../src/request/endpoints.ts';
import { scanBody } from '../../../src/request/scan-body.ts';
import type { InferenceEndpoint } from '../../../src/request/types.ts';
import { fromBinary, utf8 } from './generators.ts';
import { outcome } from './refusal.ts';

function endpoint(path: string): InferenceEndpoint {
  const found = inferenceEndpoint(path);
  if (found === undefined) throw new Error(`no endpoint ${path}`);
  return found;
}
const chat = endpoint('/api/chat');
const show = endpoint('/api/show');
const openai = endpoint('/v1/chat/completions');

const scan = (body: string | Uint8Array, at = chat) => {
  const bytes = typeof body === 'string' ? utf8(body) : body;
  return scanBody(bytes, at, bytes.length);
};
const codeOf = (body: string | Uint8Array, at = chat) => {
  const result = outcome(() => scan(body, at));
  return typeof result === 'string' ? result : `model ${result.model.raw}`;
};

describe('scanBody', () => {
  it('reads every field that decides where a request goes', () => {
    const body =
      '{"messages":[{"model":"x"}],"stream":false,"options":{"num_ctx":8192},"keep_alive":0,"model":"LLAMA3"}';
    expect(scan(body)).toEqual({
      endpoint: chat,
      model: { raw: 'LLAMA3', key: 'llama3:latest' },
      stream: false,
      numCtx: 8192,
      keepAlive: 0,
      unloads: true,
      isEmpty: false,
      bodyBytes: body.length,
      promptBytes: 1,
      images: 0,
      wantsTools: false,
      maxTokens: undefined,
      runnerOptions: [],
      fallbackModels: [],
      fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/),
      prefixes: [{ hash: expect.any(Number), bytes: 1 }],
    });
  });

  it('leaves undefined what the body does not say', () => {
    expect(scan('{"model":"a"}')).toEqual({
      endpoint: chat,
      model: { raw: 'a', key: 'a:latest' },
      stream: undefined,
      numCtx: undefined,
      keepAlive: undefined,
      unloads: false,
      isEmpty: true,
      bodyBytes: 13,
      promptBytes: 0,
      images: 0,
      wantsTools: false,
      maxTokens: undefined,
      runnerOptions: [],
      fallbackModels: [],
      fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/),
      prefixes: [],
    });
  });

  it.each([
    ['B01 empty', '', 'missing_body'],
    ['B02 white space', ' \n', 'invalid_json'],
    ['B02 null', 'null', 'invalid_json'],
    ['B02 array', '[]', 'invalid_json'],
    ['B02 string', '"x"', 'invalid_json'],
    ['B02 number', '1', 'invalid_json'],
    ['B02 empty object', '{}', 'model_required'],
    ['B03 lone brace', '{', 'invalid_json'],
    ['B03 cut off', '{"model":"a"', 'invalid_json'],
    ['B03 cut off in a string', '{"model":"a', 'invalid_json'],
    ['B03 cut off in an escape', '{"model":"a\\', 'invalid_json'],
    ['B03 cut off in a word', '{"model":"a","stream":tru', 'invalid_json'],
    ['B03 cut off in a number', '{"model":"a","n":1', 'invalid_json'],
    ['B03 trailing comma', '{"model":"a",}', 'invalid_json'],
    ['B03 trailing comma in an array', '{"model":"a","b":[1,]}', 'invalid_json'],
    ['B03 single quotes', "{'model':'a'}", 'invalid_json'],
    ['B03 comment', '{"model":"a"/* */}', 'invalid_json'],
    ['B03 bare key', '{model:"a"}', 'invalid_json'],
    ['B03 crossed brackets', '{"model":"a","b":[}]', 'invalid_json'],
    ['B03 no colon', '{"model" "a"}', 'invalid_json'],
    ['B03 no comma', '{"model":"a" "b":1}', 'invalid_json'],
    ['B04 two documents', '{"model":"a"}{"model":"b"}', 'invalid_json'],
    ['B04 trailing garbage', '{"model":"a"} x', 'invalid_json'],
    ['B05 duplicate', '{"model":"a","model":"a"}', 'ambiguous_model'],
    ['B05 duplicate stream', '{"model":"a","stream":true,"stream":false}', 'ambiguous_model'],
    ['B05 duplicate name', '{"model":"a","name":"a","name":"a"}', 'ambiguous_model'],
    ['B06 variant beside', '{"model":"a","Model":"b"}', 'ambiguous_model'],
    ['B06 variant alone', '{"MODEL":"a"}', 'ambiguous_model'],
    ['B06 escaped key', '{"mod\\u0065l":"a"}', 'model a'],
    ['B06 escaped in full', '{"\\u006d\\u006F\\u0064\\u0065\\u006C":"a"}', 'model a'],
    ['B06 escaped key twice', '{"mod\\u0065l":"a","model":"b"}', 'ambiguous_model'],
    ['B06 escaped variant', '{"mod\\u0045l":"a"}', 'ambiguous_model'],
    ['B07 long s', '{"model":"a","ſtream":false}', 'ambiguous_model'],
    ['B07 long s escaped', '{"model":"a","\\u017ftream":false}', 'ambiguous_model'],
    ['B07 kelvin sign', '{"model":"a","\u212aeep_alive":0}', 'ambiguous_model'],
    ['B07 long s in options', '{"model":"a","optionſ":{}}', 'ambiguous_model'],
    ['B08 nested in an object', '{"a":{"model":"x"}}', 'model_required'],
    ['B08 nested in an array', '{"messages":[{"model":"x"}]}', 'model_required'],
    ['B08 inside a string', '{"a":"\\"model\\":\\"x\\""}', 'model_required'],
    ['B08 inside options', '{"options":{"model":"x"}}', 'model_required'],
    ['B10 null', '{"model":null}', 'invalid_model_name'],
    ['B10 number', '{"model":1}', 'invalid_model_name'],
    ['B10 true', '{"model":true}', 'invalid_model_name'],
    ['B10 array', '{"model":["a"]}', 'invalid_model_name'],
    ['B10 object', '{"model":{"model":"a"}}', 'invalid_model_name'],
    ['B10 empty', '{"model":""}', 'model_required'],
    ['B11 then null', '{"model":"a","model":null}', 'ambiguous_model'],
    [
      'B12 strange keys',
      '{"__proto__":{"model":"x"},"constructor":1,"toString":2,"model":"__proto__"}',
      'model __proto__',
    ],
    ['B15 numbers as they may be', `{"model":"a","n":[1e999999,-0,${'9'.repeat(400)},1.5E-7]}`, 'model a'],
    ['B15 NaN', '{"model":"a","n":NaN}', 'invalid_json'],
    ['B15 Infinity', '{"model":"a","n":-Infinity}', 'invalid_json'],
    ['B15 leading zero', '{"model":"a","n":01}', 'invalid_json'],
    ['B15 no fraction', '{"model":"a","n":1.}', 'invalid_json'],
    ['B15 no exponent', '{"model":"a","n":1e+}', 'invalid_json'],
    ['B15 plus', '{"model":"a","n":+1}', 'invalid_json'],
    ['B16 not UTF-8 in content', fromBinary('{"model":"a","p":"\xff\xc3"}'), 'model a'],
    ['B17 not UTF-8 in the model', fromBinary('{"model":"a\xff"}'), 'invalid_model_name'],
    ['B17 lone surrogate in the model', '{"model":"a\\ud800"}', 'invalid_model_name'],
    ['B18 byte order mark', '\ufeff{"model":"a"}', 'invalid_json'],
    ['B18 UTF-16LE', fromBinary('\xff\xfe{\0"\0m\0'), 'invalid_json'],
    ['B18 UTF-16LE without mark', fromBinary('{\0"\0m\0"\0'), 'invalid_json'],
    ['B18 UTF-32BE', fromBinary('\0\0\0{'), 'invalid_json'],
    ['B18 EBCDIC', fromBinary('\xc0\x7f\x94'), 'invalid_json'],
    ['B19 raw NUL', '{"model":"a","p":"\0"}', 'invalid_json'],
    ['B19 raw NUL between tokens', '{"model":"a"\0}', 'invalid_json'],
    ['B19 escaped NUL', '{"model":"a","p":"\\u0000"}', 'model a'],
    ['B19 raw line feed', '{"model":"a","p":"\n"}', 'invalid_json'],
    ['bad escape', '{"model":"a","p":"\\x41"}', 'invalid_json'],
    ['half a unicode escape', '{"model":"a","p":"\\u00"}', 'invalid_json'],
    ['cut string is no JSON in a body', `{"model":"a","p":"${'x'.repeat(63)}\\#301"}`, 'invalid_json'],
    ['B34 stream of another type', '{"model":"a","stream":"yes"}', 'model a'],
    ['B38 cloud', '{"model":"a:cloud"}', 'not_allowed'],
    ['M01 header in the name', '{"model":"a\\r\\nx-envoy-max-retries: 99"}', 'invalid_model_name'],
    ['M03 long name', `{"model":"${'a'.repeat(513)}"}`, 'invalid_model_name'],
    ['M03 very long name', `{"model":"${'a'.repeat(1e7)}"}`, 'invalid_model_name'],
    ['M05 escaped name', '{"model":"\\u004c\\/a\\u003a8B"}', 'model L/a:8B'],
  ])('%s', (_, body, want) => {
    expect(codeOf(body)).toBe(want);
  });

  it('B09: finds a model behind megabytes of messages', () => {
    expect(codeOf(`{"messages":[${'{"content":"hello\\n"},'.repeat(200_000)}{}],"model":"a"}`)).toBe(
      'model a',
    );
  });

  it.each([
    ['[', '{"model":"a","x":'],
    ['{"a":', ''],
    ['[{"a":', '{"x":'],
  ])('B13: refuses 200,000 levels of %j without reading on', (open, start) => {
    expect(codeOf(start + open.repeat(200_000))).toBe('invalid_json');
    expect(outcome(() => new BodyScanner(chat, 1e6).step(utf8(start + open.repeat(200_000)), 4096))).toBe(
      'invalid_json',
    );
  });

  it('B13: allows 512 levels and no more', () => {
    const nested = (depth: number) => `{"model":"a","x":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    expect(codeOf(nested(511))).toBe('model a');
    expect(codeOf(nested(512))).toBe('invalid_json');
  });

  it('B13: tells objects from arrays at every depth', () => {
    const mixed = (depth: number) => `{"model":"a","x":${'[{"b":'.repeat(depth)}1${'}]'.repeat(depth)}}`;
    expect(codeOf(mixed(255))).toBe('model a');
    expect(codeOf(mixed(255).replace('1}]}]', '1}]]}'))).toBe('invalid_json');
  });

  it.each([
    ['true', true],
    ['false', false],
    ['null', undefined],
    ['"true"', undefined],
    ['0', undefined],
    ['{"stream":true}', undefined],
  ])('B34: stream %s is read as %s', (written, stream) => {
    expect(scan(`{"model":"a","stream":${written}}`).stream).toBe(stream);
  });

  it.each([
    ['{"num_ctx":4096}', 4096],
    ['{"num_ctx":1000000000}', 1_000_000_000],
    ['{"num_ctx":4096.9}', 4096],
    ['{"num_ctx":4.096e3}', 4096],
    ['{"num_ctx":1,"num_ctx":2}', 2],
    ['{"num_ctx":1,"num_ctx":null}', undefined],
    ['{"n\\u0075m_ctx":5}', 5],
    ['{"NUM_CTX":5}', undefined],
    ['{"num_ctx":"5"}', undefined],
    ['{"num_ctx":0}', undefined],
    ['{"num_ctx":-5}', undefined],
    ['{"num_ctx":1e999}', undefined],
    ['{"a":{"num_ctx":5}}', undefined],
    ['{"num_ctx":[5]}', undefined],
    ['[{"num_ctx":5}]', undefined],
    ['["num_ctx",5]', undefined],
    ['null', undefined],
  ])('B35: options %s set a context of %s', (written, numCtx) => {
    expect(scan(`{"model":"a","options":${written},"other":{"num_ctx":7}}`).numCtx).toBe(numCtx);
  });

  it.each([
    ['0', true],
    ['0.0', true],
    ['-0', true],
    ['0e5', true],
    ['1e-12', true],
    ['-1e-12', false],
    [`0.${'0'.repeat(100_000)}`, true],
    ['"0"', true],
    ['"0s"', true],
    ['"-0s"', true],
    ['"0h0m0.0s"', true],
    ['"\\u0030s"', true],
    ['"0µs"', true],
    ['"0.1ns"', true],
    ['"-0.1ns"', true],
    ['"999ms"', true],
    ['"1s"', false],
    ['"5m"', false],
    ['"-1s"', false],
    ['"1h0s"', false],
    ['""', false],
    ['"soon"', false],
    ['"0x"', false],
    ['"5"', false],
    ['1', false],
    ['-1', false],
    ['300', false],
    ['null', false],
    ['false', false],
    ['[0]', false],
  ])('B36: keep_alive %s unloads: %s', (written, unloads) => {
    expect(scan(`{"model":"a","keep_alive":${written}}`).unloads).toBe(unloads);
  });

  it.each([
    '{"model":"a","keep_alive":-1,"keep_alive":0}',
    '{"model":"a","Keep_Alive":0}',
    '{"model":"a","options":{},"options":{"num_ctx":1}}',
  ])('refuses %s: Go merges what JavaScript replaces', (body) => {
    expect(codeOf(body)).toBe('ambiguous_model');
  });

  it('reads options and keep_alive on Ollama paths only', () => {
    const body =
      '{"model":"a","options":{"num_ctx":1},"OPTIONS":{},"keep_alive":0,"keep_alive":0,"stream":true}';
    expect(scan(body, openai)).toMatchObject({ numCtx: undefined, unloads: false, stream: true });
  });

  it.each([
    ['{"name":"a"}', 'model a'],
    ['{"model":"","name":"a"}', 'model a'],
    ['{"model":"a","name":""}', 'model a'],
    ['{"model":"a","name":null}', 'model a'],
    ['{"model":"a","name":"a"}', 'model a'],
    ['{"model":"a","name":"b"}', 'ambiguous_model'],
    ['{"Name":"a"}', 'ambiguous_model'],
    ['{"name":1}', 'invalid_model_name'],
    ['{"model":null,"name":"a"}', 'ambiguous_model'],
    ['{"name":""}', 'model_required'],
  ])('show: %s is %s', (body, want) => {
    expect(codeOf(body, show)).toBe(want);
  });

  it.each(['/api/generate', '/api/chat', '/v1/chat/completions'])('%s does not read `name`', (path) => {
    expect(codeOf('{"name":"a"}', endpoint(path))).toBe('model_required');
    expect(codeOf('{"name":7,"model":"a"}', endpoint(path))).toBe('model a');
  });

  it('M14: only the body names the model', () => {
    expect(inferenceEndpoint('/api/chat?model=b')).toBeUndefined();
  });
});

describe('BodyScanner', () => {
  it('reads no more than it is told to, and goes on where it stopped', () => {
    const bytes = utf8(`{"model":"a","p":"${'x'.repeat(10_000)}","n":${'1'.repeat(10_000)}}`);
    const scanner = new BodyScanner(chat, bytes.length);
    let steps = 1;
    while (!scanner.step(bytes, 1000)) steps++;
    expect(steps).toBe(Math.ceil(bytes.length / 1000));
    expect(scanner.step(bytes, 1000)).toBe(true);
    expect(scanner.result().model.raw).toBe('a');
  });

  it('has no result before the end', () => {
    const scanner = new BodyScanner(chat, 13);
    expect(scanner.step(utf8('{"model":"a"}'), 5)).toBe(false);
    expect(() => scanner.result()).toThrow(expect.objectContaining({ code: 'internal' }));
  });
});
