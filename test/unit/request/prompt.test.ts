import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inferenceEndpoint } from '../../../src/request/endpoints.ts';
import { scanBody } from '../../../src/request/scan-body.ts';
import { scanBones } from '../../../src/request/scan-bones.ts';
import type { InferenceEndpoint, RouteRequest } from '../../../src/request/types.ts';
import { asReceived, bonesOf } from './bones-of.ts';
import { fromBinary, utf8 } from './generators.ts';
import { outcome } from './refusal.ts';

type Path =
  | '/api/generate'
  | '/api/chat'
  | '/api/embed'
  | '/api/embeddings'
  | '/api/show'
  | '/v1/chat/completions'
  | '/v1/completions'
  | '/v1/embeddings'
  | '/v1/responses'
  | '/v1/messages';

const endpoint = (path: Path) => inferenceEndpoint(path) as InferenceEndpoint; // in the table, see endpoints.test.ts
/** What is read from a body that names the model `m`, and from its bones too where they suffice. */
function read(path: Path, members: string): RouteRequest {
  const body = utf8(`{"model":"m"${members === '' ? '' : `,${members}`}}`);
  const request = scanBody(body, endpoint(path), body.length);
  const bones = bonesOf(body);
  if (bones !== undefined)
    expect(scanBones(asReceived(bones), endpoint(path), body.length) ?? request).toEqual(request);
  return request;
}
const say = (role: string, content: unknown) => ({ role, content });
const chat = (...messages: unknown[]) => read('/api/chat', `"messages":${JSON.stringify(messages)}`);

describe('promptBytes', () => {
  it.each<[Path, string, number]>([
    ['/api/generate', '"prompt":"12345"', 5],
    ['/api/generate', '"prompt":"12345","suffix":"67","system":"890","template":"x"', 10],
    ['/api/generate', '"prompt":"1","context":[1,22,333]', 13],
    ['/api/generate', '"prompt":"\\u00e9"', 6],
    ['/api/generate', '"prompt":"é"', 2],
    ['/api/generate', '"messages":[{"content":"12345"}]', 0],
    ['/api/chat', '"messages":[{"role":"user","content":"12345"}]', 9],
    ['/api/chat', '"prompt":"12345"', 0],
    [
      '/api/chat',
      '"messages":[{"content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":"bc"}}}]}]',
      3,
    ],
    ['/api/chat', '"tools":[{"type":"function","function":{"name":"now"}}]', 4 + 8 + 8 + 4 + 3],
    ['/api/chat', '"messages":[{"content":"123","images":["AAAA","BBBB"]}]', 3],
    ['/api/embed', '"input":["one","three"]', 8],
    ['/api/embed', '"input":"one"', 3],
    ['/api/embeddings', '"prompt":"one"', 3],
    ['/api/show', '"prompt":"one","input":"one","messages":["one"]', 0],
    ['/v1/completions', '"prompt":["one","two"]', 6],
    ['/v1/embeddings', '"input":"four"', 4],
    ['/v1/chat/completions', '"messages":[{"content":[{"type":"text","text":"12345"}]}]', 5],
    [
      '/v1/chat/completions',
      '"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}]}]',
      0,
    ],
    ['/v1/chat/completions', '"messages":[{"content":[{"type":"text","text":"data:12345"}]}]', 10],
    ['/v1/responses', '"instructions":"123","input":"45"', 5],
    ['/v1/responses', '"input":[{"role":"user","content":[{"type":"input_text","text":"12345"}]}]', 9],
    ['/v1/messages', '"system":"123","messages":[{"role":"user","content":"45"}]', 9],
    [
      '/v1/messages',
      '"system":[{"type":"text","text":"123","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[]',
      3,
    ],
    [
      '/v1/messages',
      '"messages":[{"content":[{"type":"image","source":{"type":"base64","media_type":"","data":"AAAA"}}]}]',
      0,
    ],
    ['/v1/messages', '"messages":[{"content":[{"type":"tool_use","input":{"data":"123"}}]}]', 3],
  ])('%s %s: %d', (path, members, bytes) => {
    expect(read(path, members).promptBytes).toBe(bytes);
  });

  it('counts a long string in full, from its bones too', () => {
    const content = 'Why is the sky blue? '.repeat(500);
    expect(chat(say('', content)).promptBytes).toBe(content.length);
  });

  it('counts a string that only looks cut as what it says, as its bones do', () => {
    expect(chat(say('', `${'x'.repeat(64)}#5000`)).promptBytes).toBe(5000);
    expect(chat(say('', `${'x'.repeat(63)}#5000`)).promptBytes).toBe(68);
    expect(chat(say('', `${'x'.repeat(64)}#300`)).promptBytes).toBe(68);
  });
});

describe('marks of a cache', () => {
  it('hide nothing that follows them', () => {
    const parts = [
      { cache_control: { type: 'ephemeral', ttl: 'xx' }, text: '123' },
      { content: [{ deeper: [{ text: '45' }] }] },
    ];
    expect(read('/v1/messages', `"messages":[{"content":${JSON.stringify(parts)}}]`).promptBytes).toBe(5);
  });
});

describe('images', () => {
  it.each<[Path, string, number]>([
    ['/api/generate', '"prompt":"a","images":["AA","BB"]', 2],
    ['/api/generate', '"prompt":"a","images":[]', 0],
    ['/api/chat', '"images":["AA"]', 0],
    ['/api/chat', '"messages":[{"images":["AA"]},{"images":["BB","CC"],"content":"x"}]', 3],
    ['/api/chat', '"messages":[{"tool_calls":[{"images":["AA"]}]}]', 0],
    [
      '/v1/chat/completions',
      '"messages":[{"content":[{"image_url":{"detail":"low","url":"data:image/png;base64,AA"}},{"text":"x"}]}]',
      1,
    ],
    [
      '/v1/chat/completions',
      '"messages":[{"content":[{"image_url":{"url":"https://example.com/a.png"}}]}]',
      0,
    ],
    [
      '/v1/responses',
      '"input":[{"content":[{"type":"input_image","image_url":"data:image/png;base64,AA"}]}]',
      1,
    ],
    [
      '/v1/messages',
      '"messages":[{"content":[{"type":"image","source":{"type":"base64","data":"AA"}},{"text":"b"}]}]',
      1,
    ],
    ['/v1/messages', '"messages":[{"content":[{"source":{"x":1},"data":"AA"}]}]', 0],
  ])('%s %s: %d', (path, members, images) => {
    expect(read(path, members).images).toBe(images);
  });
});

describe('isEmpty', () => {
  it.each<[Path, string, boolean]>([
    ['/api/generate', '', true],
    ['/api/generate', '"prompt":""', true],
    ['/api/generate', '"prompt":null', true],
    ['/api/generate', '"prompt":"a","prompt":null', false],
    ['/api/generate', '"prompt":"a","prompt":""', true],
    ['/api/generate', '"Prompt":"a"', false],
    ['/api/generate', '"pro\\u006dpt":"a"', false],
    ['/api/generate', '"messages":[1]', true],
    ['/api/chat', '', true],
    ['/api/chat', '"messages":[]', true],
    ['/api/chat', '"messages":null', true],
    ['/api/chat', '"messages":[{}]', false],
    ['/api/chat', '"messages":[1],"messages":[]', true],
    ['/api/chat', '"me\u017f\u017fages":[{}]', false],
    ['/api/embed', '', false],
    ['/api/show', '', false],
    ['/v1/chat/completions', '"messages":[]', false],
    ['/v1/completions', '', false],
  ])('B36 B37: %s %s: %s', (path, members, isEmpty) => {
    expect(read(path, members).isEmpty).toBe(isEmpty);
  });
});

describe('hints', () => {
  it.each<[Path, string, number | undefined]>([
    ['/api/chat', '"options":{"num_predict":128}', 128],
    ['/api/chat', '"options":{"num_predict":-1}', undefined],
    ['/api/chat', '"options":{"num_predict":128,"num_predict":7}', 7],
    ['/api/chat', '"max_tokens":128', undefined],
    ['/v1/chat/completions', '"max_tokens":128', 128],
    ['/v1/chat/completions', '"max_tokens":128,"max_tokens":null', undefined],
    ['/v1/chat/completions', '"max_completion_tokens":128', 128],
    ['/v1/chat/completions', '"options":{"num_predict":128}', undefined],
    ['/v1/responses', '"max_output_tokens":128', 128],
    ['/v1/messages', '"max_tokens":1e3', 1000],
    ['/v1/messages', '"max_tokens":"9"', undefined],
    ['/v1/messages', '"max_tokens":{"max_tokens":5}', undefined],
  ])('%s %s allows %s tokens', (path, members, maxTokens) => {
    expect(read(path, members).maxTokens).toBe(maxTokens);
  });

  it.each<[Path, string, boolean]>([
    ['/api/chat', '"tools":[{"type":"function"}]', true],
    ['/api/chat', '"tools":[]', false],
    ['/api/chat', '"tools":null', false],
    ['/api/chat', '"tools":{"a":1}', false],
    ['/api/chat', '"tools":[1],"tools":[]', false],
    ['/api/generate', '"tools":[1]', false],
    ['/v1/messages', '"tools":[{"name":"f"}]', true],
    ['/v1/responses', '"tools":[{"name":"f"}]', true],
  ])('%s %s wants tools: %s', (path, members, wantsTools) => {
    expect(read(path, members).wantsTools).toBe(wantsTools);
  });

  it.each<[Path, string, string[]]>([
    ['/api/chat', '"options":{"num_ctx":1,"temperature":0}', []],
    ['/api/chat', '"options":{"use_mmap":false,"num_gpu":0}', ['num_gpu', 'use_mmap']],
    ['/api/chat', '"options":{"num_g\\u0070u":1}', ['num_gpu']],
    ['/api/chat', '"options":{"NUM_GPU":1}', []],
    ['/api/chat', '"options":{"num_gpu":null}', []],
    ['/api/chat', '"options":{"num_gpu":1,"num_gpu":null}', []],
    ['/api/chat', '"options":{"num_gpu":1,"num_gpu":{"a":2},"main_gpu":[1]}', ['num_gpu', 'main_gpu']],
    ['/api/chat', '"options":{"a":{"num_gpu":1}},"num_gpu":1', []],
    ['/v1/chat/completions', '"options":{"num_gpu":1}', []],
  ])('B35: %s %s sets %j', (path, members, runnerOptions) => {
    expect(read(path, members).runnerOptions).toEqual(runnerOptions);
  });

  it.each<[string, number | undefined]>([
    ['300', 300],
    ['0', 0],
    ['0.25', 0.25],
    ['-1', -1],
    ['-0.5', -1],
    ['-0', 0],
    ['1e999', undefined],
    ['"5m"', 300],
    ['"1h30m"', 5400],
    ['"-1s"', -1],
    ['"-0s"', 0],
    ['"9999999h"', undefined],
    ['"soon"', undefined],
    ['null', undefined],
    ['[1]', undefined],
  ])('keep_alive %s keeps the model for %s s', (written, seconds) => {
    expect(read('/api/chat', `"keep_alive":${written}`).keepAlive).toBe(seconds);
    expect(read('/v1/chat/completions', `"keep_alive":${written}`).keepAlive).toBeUndefined();
  });

  it('reads fallback models in their order, of all APIs', () => {
    for (const path of ['/api/chat', '/v1/chat/completions', '/v1/messages'] as const) {
      const found = read(path, '"fallback_models":["LLAMA3","x/y:z"]').fallbackModels;
      expect(found.map(({ key }) => key)).toEqual(['llama3:latest', 'x/y:z']);
    }
    expect(read('/api/chat', '"fallback_models":["a"],"fallback_models":["b"]').fallbackModels).toHaveLength(
      1,
    );
    expect(read('/api/chat', '"fallback_models":null').fallbackModels).toEqual([]);
  });

  it.each([
    ['"a"', 'invalid_model_name'],
    ['{"a":"b"}', 'invalid_model_name'],
    ['[1]', 'invalid_model_name'],
    ['[["a"]]', 'invalid_model_name'],
    ['[""]', 'invalid_model_name'],
    ['["a b"]', 'invalid_model_name'],
    [JSON.stringify(Array(9).fill('a')), 'invalid_model_name'],
    ['["a:cloud"]', 'not_allowed'],
  ])('refuses fallback_models %s', (written, code) => {
    expect(outcome(() => read('/v1/chat/completions', `"fallback_models":${written}`))).toBe(code);
  });
});

describe('fingerprint', () => {
  const of = (body: string | Uint8Array) => {
    const bytes = typeof body === 'string' ? utf8(body) : body;
    return scanBody(bytes, endpoint('/api/chat'), bytes.length).fingerprint;
  };

  it('is the same for the same body, whatever follows it', () => {
    expect(of('{"model":"a","x":[1,"b"]}')).toBe(of('{"model":"a","x":[1,"b"]}'));
    expect(of('{"model":"a"} \n')).toBe(of('{"model":"a"}'));
  });

  it('is another one for every other body', () => {
    const bodies = [
      '{"model":"a"}',
      '{"model":"b"}',
      '{"model":"a","x":1}',
      '{"model":"a","x":2}',
      '{"model":"a","x":"1"}',
      '{"model":"a","x":["1"]}',
      '{"model":"a","x":[]}',
      '{"model":"a","x":[[]]}',
      '{"model":"a","x":["",""]}',
      '{"model":"a","x":["a","b"]}',
      '{"model":"a","x":["ab",""]}',
      '{"model":"a","y":["ab",""]}',
      ...Array.from({ length: 90 }, (_, i) => `{"model":"a","x":"${'y'.repeat(i)}"}`),
      ...Array.from({ length: 290 }, (_, i) => `{"model":"a","x":"${'y'.repeat(i)}z${'y'.repeat(289 - i)}"}`),
      ...Array.from({ length: 50 }, (_, i) => `{"model":"a","x":"${'y'.repeat(301 + i)}"}`),
      ...Array.from({ length: 60 }, (_, i) => `{"model":"a","x":"${'y'.repeat(i)}z${'y'.repeat(400 - i)}"}`),
    ];
    expect(new Set(bodies.map(of)).size).toBe(bodies.length);
  });

  it('tells two long strings apart by their first 60 bytes and their length only', () => {
    const long = (head: string, tail: string) =>
      of(`{"model":"a","x":"${head.padEnd(60, 'x')}${tail.padEnd(400, 'y')}"}`);
    expect(long('a', 'b')).toBe(long('a', 'c'));
    expect(long('a', 'b')).not.toBe(long('b', 'b'));
  });

  it('differs for random bodies and is equal for equal ones', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (x, y) => {
        const [one, other] = [x, y].map((value) => JSON.stringify({ model: 'a', value })) as [string, string];
        expect(of(one) === of(other)).toBe(one === other);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('prefixes', () => {
  const hashes = ({ prefixes }: RouteRequest) => prefixes.map(({ hash }) => hash);
  const turns = Array.from({ length: 40 }, (_, i) => say(i % 2 === 0 ? 'user' : 'assistant', `turn ${i}`));

  it('of a request are the first of those that the conversation goes on with', () => {
    const first = chat(...turns.slice(0, 1));
    const second = chat(...turns.slice(0, 3));
    const third = chat(...turns.slice(0, 5));
    expect(first.prefixes).toHaveLength(1);
    expect(hashes(second).slice(0, 1)).toEqual(hashes(first));
    expect(hashes(third).slice(0, 3)).toEqual(hashes(second));
  });

  it('tell how much of the prompt they cover', () => {
    const { prefixes, promptBytes } = read(
      '/v1/messages',
      '"messages":[{"content":"12345"},{"content":"67"}],"system":"abc","tools":[{"n":"t"}]',
    );
    expect(prefixes.map(({ bytes }) => bytes)).toEqual([5, 10, 12]);
    expect(promptBytes).toBe(12);
  });

  it('are small positive integers, longest last', () => {
    const { prefixes, promptBytes } = chat(...turns);
    for (const { hash } of prefixes) expect(Number.isInteger(hash) && hash >= 0 && hash < 2 ** 31).toBe(true);
    const bytes = prefixes.map((prefix) => prefix.bytes);
    expect(bytes).toEqual(bytes.toSorted((a, b) => a - b));
    expect(bytes.at(-1)).toBe(promptBytes);
  });

  it('of a long conversation are the first two and the longest, 16 in all', () => {
    for (let count = 1; count <= turns.length; count++) {
      const found = chat(...turns.slice(0, count)).prefixes;
      expect(found).toHaveLength(Math.min(16, count));
      const kept = [...turns.keys()].slice(0, count).filter((i) => i < 2 || i >= count - 14);
      const wanted = kept.map((i) => chat(...turns.slice(0, i + 1)).prefixes.at(-1));
      expect(found).toEqual(wanted);
    }
  });

  it('do not depend on the model nor on the order of the members', () => {
    const messages = `"messages":${JSON.stringify(turns.slice(0, 3))}`;
    const tools = '"tools":[{"name":"f"}]';
    const system = '"system":"be brief"';
    const one = read('/v1/messages', `${messages},${tools},${system}`);
    const other = read('/v1/messages', `${system},"temperature":0.5,${tools},${messages}`);
    expect(one.prefixes).toEqual(other.prefixes);
    const body = utf8(`{${messages},"model":"another",${system},${tools}}`);
    expect(scanBody(body, endpoint('/v1/messages'), body.length).prefixes).toEqual(one.prefixes);
  });

  it('differ where the system prompt, the tools, a role or a text differs', () => {
    const of = (system: string, tool: string, role: string, content: string) =>
      hashes(
        read(
          '/v1/messages',
          `"system":"${system}","tools":["${tool}"],"messages":${JSON.stringify([say(role, content)])}`,
        ),
      );
    const all = [
      of('s', 't', 'user', 'x'),
      of('S', 't', 'user', 'x'),
      of('s', 'T', 'user', 'x'),
      of('t', 's', 'user', 'x'),
      of('s', 't', 'assistant', 'x'),
      of('s', 't', 'user', 'y'),
    ];
    expect(new Set(all.map((found) => found.at(-1))).size).toBe(all.length);
    expect(all[0]?.[0]).toBe(all[4]?.[0]);
    expect(new Set(all.slice(0, 4).map((found) => found[0])).size).toBe(4);
  });

  it('tell two turns from one', () => {
    expect(hashes(chat(say('user', 'a'), say('user', 'b'))).at(-1)).not.toBe(
      hashes(chat({ role: 'user', content: 'a', more: ['user', 'b'] })).at(-1),
    );
  });

  it('stay the same where marks of a cache come and go, and a text is written as a part', () => {
    const plain = say('user', 'hello');
    const part = say('user', [{ type: 'text', text: 'hello' }]);
    const marked = say('user', [
      { type: 'text', text: 'hello', cache_control: { type: 'ephemeral', ttl: '5m' } },
    ]);
    const of = (first: unknown) =>
      hashes(read('/v1/messages', `"messages":${JSON.stringify([first, say('assistant', 'hi')])}`));
    expect(of(part)).toEqual(of(plain));
    expect(of(marked)).toEqual(of(plain));
  });

  it('of a generation are its system prompt and every 256 tokens of its context', () => {
    const of = (tokens: number, system = '"system":"abc",') =>
      read(
        '/api/generate',
        `${system}"prompt":"x","context":[${Array.from({ length: tokens }, (_, i) => i * 3).join(',')}]`,
      );
    expect(of(0).prefixes.map(({ bytes }) => bytes)).toEqual([3]);
    expect(of(0, '').prefixes).toEqual([]);
    const [short, long] = [of(600), of(1000)];
    expect(long.prefixes.map(({ bytes }) => bytes)).toEqual([3, 1027, 2051, 3075, 4003]);
    expect(long.prefixes.slice(0, 3)).toEqual(short.prefixes.slice(0, 3));
  });

  it.each<[Path, string]>([
    ['/api/embed', '"input":["a","b"]'],
    ['/v1/embeddings', '"input":["a","b"]'],
    ['/v1/completions', '"prompt":"a"'],
    ['/api/show', '"system":"a"'],
    ['/api/chat', '"messages":[]'],
  ])('there are none of %s %s', (path, members) => {
    expect(read(path, members).prefixes).toEqual([]);
  });
});

describe('bytes that are not UTF-8', () => {
  const pad = `"pad":"${'p'.repeat(1100)}"`;
  it.each([
    ['at the end of a head', `${'x'.repeat(62)}\xe4\xb8\xad${'y'.repeat(400)}`],
    ['a character that ends at byte 60', `${'x'.repeat(57)}\xe4\xb8\xad${'y'.repeat(400)}`],
    ['a character across byte 60', `${'x'.repeat(59)}\xe4\xb8\xad${'y'.repeat(400)}`],
    ['a character of four bytes across byte 60', `${'x'.repeat(58)}\xf0\x9f\x98\x80${'y'.repeat(400)}`],
    ['in the middle of a head', `${'x'.repeat(30)}\xff${'x'.repeat(400)}`],
    ['a surrogate', `${'x'.repeat(30)}\xed\xa0\x80${'x'.repeat(400)}`],
    ['longer than needed', `${'x'.repeat(30)}\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf${'x'.repeat(400)}`],
    ['beyond Unicode', `${'x'.repeat(30)}\xf4\x90\x80\x80${'x'.repeat(400)}`],
    ['half a character', `${'x'.repeat(30)}\xf0\x9f\x98${'x'.repeat(400)}`],
    ['U+FFFD itself', `${'x'.repeat(30)}\xef\xbf\xbd${'x'.repeat(400)}`],
  ])('%s: the bones say the same', (_, content) => {
    const body = fromBinary(`{"model":"m",${pad},"messages":[{"content":"${content}"},{"role":"user"}]}`);
    const bones = asReceived(bonesOf(body) as Uint8Array); // nothing here makes the filter give up
    const fromBones = scanBones(bones, endpoint('/api/chat'), body.length);
    expect(fromBones).toBeDefined();
    expect(fromBones).toEqual(scanBody(body, endpoint('/api/chat'), body.length));
  });
});
