import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { post, send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { type RunningWarmpath, startWarmpath } from '../support/warmpath.ts';
import { sha256 } from './client/curl.ts';

const MIB = 1024 * 1024;

/** One body, what becomes of it, and whether a node may see it: if so, exactly these bytes, once. */
interface Case {
  readonly id: string;
  readonly what: string;
  readonly body: string | Buffer | (() => string | Buffer);
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  /** Our machine code; undefined where a node answered. */
  readonly code?: string | RegExp;
  /** The whole exchange may take so long, ms. */
  readonly withinMs?: number;
  /** What the node gets; undefined: the very same bytes. */
  readonly arrives?: string;
}

const chat = (model: string, more = '') =>
  `{"model":${model},"messages":[{"role":"user","content":"hi"}]${more}}`;
const refused = (
  id: string,
  what: string,
  body: Case['body'],
  code: string | RegExp = 'invalid_json',
): Case => ({
  id,
  what,
  body,
  status: 400,
  code,
});
const forwarded = (id: string, what: string, body: Case['body'], status = 200): Case => ({
  id,
  what,
  body,
  status,
});
const bytes = (...parts: (string | readonly number[])[]) =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part))));

const BODIES: readonly Case[] = [
  refused('B01', 'nothing', '', 'missing_body'),
  refused('B02', 'blanks', ' \n\t ', /invalid_json|missing_body/),
  refused('B02', 'null', 'null', /invalid_json|model_required/),
  refused('B02', 'an array', '[]', /invalid_json|model_required/),
  refused('B02', 'a string', '"x"', /invalid_json|model_required/),
  refused('B02', 'a number', '1', /invalid_json|model_required/),
  refused('B03', 'an open brace', '{'),
  refused('B03', 'a cut document', '{"model":"alpha"'),
  refused('B03', 'a trailing comma', '{"model":"alpha",}'),
  refused('B03', 'single quotes', "{'model':'alpha'}"),
  refused('B03', 'a comment', '{"model":"alpha"/* x */}'),
  refused('B04', 'two documents', '{"model":"alpha"}{"model":"beta"}'),
  refused('B04', 'trailing garbage', `${chat('"alpha"')} x`),
  refused('B05', 'the key twice', '{"model":"alpha","model":"beta"}', 'ambiguous_model'),
  refused('B05', 'the key twice, once escaped', '{"model":"alpha","mod\\u0065l":"beta"}', 'ambiguous_model'),
  refused('B06', 'two spellings', '{"model":"alpha","Model":"beta"}', 'ambiguous_model'),
  refused('B06', 'another spelling alone', '{"MODEL":"alpha"}', 'ambiguous_model'),
  forwarded('B06', 'an escaped key', chat('"alpha"').replace('"model"', '"mod\\u0065l"')),
  refused('B07', 'a long s in stream', chat('"alpha"', ',"\u017ftream":false'), 'ambiguous_model'),
  refused('B08', 'the model inside another object', '{"a":{"model":"alpha"}}', 'model_required'),
  refused('B08', 'the model inside a string', '{"a":"\\"model\\":\\"alpha\\""}', 'model_required'),
  refused('B08', 'the model in a message', '{"messages":[{"model":"alpha"}]}', 'model_required'),
  ...['1', 'true', '[]', '{}', '["alpha"]'].map((model) =>
    refused('B10', `the model ${model}`, chat(model), 'invalid_model_name'),
  ),
  refused('B10', 'the model null', chat('null'), /model_required|invalid_model_name/),
  refused('B11', 'the model, then null', '{"model":"alpha","model":null}', 'ambiguous_model'),
  forwarded(
    'B12',
    'keys of prototypes',
    chat('"alpha"', ',"__proto__":{"polluted":1},"constructor":{"prototype":1}'),
  ),
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'].map((name) => ({
    ...refused('B12', `the model ${name}`, chat(`"${name}"`), 'model_not_found'),
    status: 404,
  })),
  {
    ...refused('B13', 'arrays 200,000 deep', () => chat('"alpha"', `,"x":${'['.repeat(200_000)}`)),
    withinMs: 1000,
  },
  {
    ...refused('B13', 'objects 200,000 deep', () => `{"model":"alpha"${',"a":{"b":1'.repeat(200_000)}`),
    withinMs: 1000,
  },
  forwarded(
    'B15',
    'numbers past all precision',
    chat('"alpha"', `,"x":[1e999999,-0,${'9'.repeat(400)},1E+2]`),
  ),
  ...['NaN', 'Infinity', '01', '+1', '.5', '1.', '0x10'].map((number) =>
    refused('B15', `the number ${number}`, chat('"alpha"', `,"x":${number}`)),
  ),
  forwarded(
    'B16',
    'broken UTF-8 in a text',
    bytes('{"model":"alpha","prompt":"', [0xff, 0xc0, 0x80, 0xed, 0xa0, 0x80], '"}'),
  ),
  refused('B17', 'broken UTF-8 in the model', bytes('{"model":"al', [0xff], 'pha"}'), 'invalid_model_name'),
  refused('B17', 'half a surrogate pair in the model', chat('"al\\ud800pha"'), 'invalid_model_name'),
  refused('B18', 'a byte order mark', bytes([0xef, 0xbb, 0xbf], chat('"alpha"'))),
  refused('B18', 'UTF-16', Buffer.from(chat('"alpha"'), 'utf16le')),
  refused('B19', 'a raw NUL in a text', bytes('{"model":"alpha","prompt":"a', [0], 'b"}')),
  refused('B19', 'a raw NUL between members', bytes('{"model":"alpha",', [0], '"prompt":"b"}')),
  forwarded('B19', 'an escaped NUL in a text', chat('"alpha"', ',"prompt":"a\\u0000b"')),
  refused('B19', 'a raw line feed in a text', '{"model":"alpha","prompt":"a\nb"}'),
  forwarded('B34', 'stream as a text, which the node refuses', chat('"alpha"', ',"stream":"yes"'), 400),
  forwarded('B34', 'stream as null', chat('"alpha"', ',"stream":null')),
  {
    ...forwarded(
      'B35',
      'an absurd context',
      // A model of its own: later requests for the same one would be made to join this context.
      chat('"beta"', ',"options":{"num_ctx":1000000000,"num_gpu":-5}'),
    ),
    // What the model was trained for, to which Ollama would cut it down.
    arrives: chat('"beta"', ',"options":{"num_ctx":131072,"num_gpu":-5}'),
  },
  ...['"alpha:cloud"', '"alpha:7b-cloud"', '"alpha:CLOUD"', '"alpha:cloud "'].map((name) => ({
    ...refused('B38', `the model ${name}`, chat(name), 'not_allowed'),
    status: 403,
  })),
];

const NAMES: readonly Case[] = [
  refused('M01', 'a header in the name', chat('"a\\r\\nx-envoy-max-retries: 99"'), 'invalid_model_name'),
  ...['a\\u0000b', '\\u000b', '\\u007f', '\\u0085', 'a\\u2028b'].map((name) =>
    refused('M02', name, chat(`"${name}"`), 'invalid_model_name'),
  ),
  ...[513, 10_000, 10 * MIB].map((length) =>
    refused('M03', `${length} bytes`, () => chat(`"${'a'.repeat(length)}"`), 'invalid_model_name'),
  ),
  ...[
    'alpha:latest',
    'library/alpha',
    'registry.ollama.ai/library/alpha:latest',
    'ALPHA',
    'Alpha:LATEST',
  ].map((name) => forwarded('M04 M05', name, chat(`"${name}"`))),
  ...['\u00a0alpha', 'alpha\\t', '\u043bama3', '\uff41lpha', 'a\u202eb', 'a\u200bb', 'e\u0301'].map((name) =>
    refused('M06 M07', JSON.stringify(name), chat(`"${name}"`), 'invalid_model_name'),
  ),
  ...[
    ...[
      '../../etc/passwd',
      'a/../../b',
      'a//b',
      '/a',
      'a/',
      'a:',
      ':a',
      'a:b:c',
      '@sha256:00',
      'a@sha256-00',
    ],
    ...[
      '%2e%2e',
      '<img src=x onerror=alert(1)>',
      'javascript:alert(1)',
      '{{7*7}}',
      ['$', '{jndi:x}'].join(''),
      '=cmd|x',
    ],
    ...["'; DROP TABLE traces;--", '%', '\\\\', 'a b', '*', ''],
  ].map((name) =>
    refused('M08 M10 M11', name, chat(`"${name}"`), /invalid_model_name|model_not_found|model_required/),
  ),
  {
    ...refused('M09', 'a name with host and port', chat('"host:5000/ns/m:t"'), 'model_not_found'),
    status: 404,
  },
  {
    ...forwarded('M14', 'other names in query and header', chat('"alpha"')),
    path: '/api/chat?model=nope',
    headers: { 'x-model': 'nope' },
  },
];

const LARGE: readonly Case[] = [
  { ...forwarded('B09', 'the model after 60 MiB', () => large(60 * MIB, 'x')), withinMs: 20_000 },
  {
    ...refused('B14', '15 MiB of {}', () => `[${'{},'.repeat(5 * MIB)}{}]`, /invalid_json|model_required/),
    withinMs: 5000,
  },
  {
    ...forwarded('B14', '15 MiB of {} in a member', () =>
      chat('"alpha"', `,"x":[${'{},'.repeat(5 * MIB)}{}]`),
    ),
    withinMs: 8000,
  },
  {
    ...forwarded('B14', '1e6 keys', () =>
      chat('"alpha"', Array.from({ length: 1e6 }, (_, i) => `,"k${i}":1`).join('')),
    ),
    withinMs: 8000,
  },
  {
    ...forwarded('B14', '16 MiB of numbers', () => chat('"alpha"', `,"x":[${'1,'.repeat(8 * MIB)}1]`)),
    withinMs: 8000,
  },
  { ...forwarded('B14', '16 MiB of escaped quotes', () => large(16 * MIB, '\\"')), withinMs: 8000 },
  { ...forwarded('B14', '16 MiB of escaped backslashes', () => large(16 * MIB, '\\\\')), withinMs: 8000 },
];

describeReal(await realEnvoy(), 'hostile bodies', () => {
  let fleet: SimulatedFleet;
  let warmpath: RunningWarmpath;

  beforeAll(async () => {
    fleet = await startFleet(2, {
      models: ['alpha', 'beta'].map((name) => ({ name, sizeBytes: 1e6 })),
      timeScale: 1e6,
    });
    warmpath = await startWarmpath({ nodes: fleet.specs });
    await fleet.node('n1').load('alpha');
  });
  afterAll(async () => {
    await warmpath?.stop();
    await fleet?.close();
  });
  beforeEach(() => fleet.clearRequests());

  async function check({
    body: made,
    arrives,
    path = '/api/chat',
    headers = {},
    status,
    code,
    withinMs = 5000,
  }: Case) {
    const body = typeof made === 'function' ? made() : made;
    const startedAt = performance.now();
    const answer = await send(`${warmpath.url}${path}`, { method: 'POST', body, headers });
    const tookMs = performance.now() - startedAt;
    expect(answer.status, answer.text.slice(0, 500)).toBe(status);
    if (code === undefined) {
      expect(fleet.inference.map((request) => request.bodySha256)).toEqual([sha256(arrives ?? body)]);
      expect(answer.headers['x-warmpath-decision']).toBeTruthy();
    } else {
      expect(answer.headers['x-warmpath-error']).toMatch(new RegExp(code));
      expect(answer.json()).toEqual({ error: expect.stringMatching(/./) });
      expect(answer.text.length).toBeLessThan(300);
      expect(fleet.inference).toEqual([]);
    }
    expect(tookMs).toBeLessThan(withinMs);
    const control = await post(`${warmpath.url}/api/chat`, chat('"alpha"', ',"stream":false'));
    expect(control.status, 'the next request').toBe(200);
    expect(control.headers['x-warmpath-decision']).toBeTruthy();
  }

  it.each([...BODIES, ...NAMES])('$id $what: $status', check);

  it.each(LARGE)('$id $what: $status', check);

  it('the other APIs refuse the same', async () => {
    for (const path of ['/v1/chat/completions', '/v1/responses', '/v1/messages', '/api/embed', '/api/show']) {
      for (const { body, status, code } of BODIES.filter(({ id }) =>
        ['B01', 'B03', 'B05', 'B08', 'B10'].includes(id),
      )) {
        const answer = await send(`${warmpath.url}${path}`, { method: 'POST', body });
        expect(answer.status, `${path} ${String(body)}`).toBe(status);
        expect(answer.headers['x-warmpath-error']).toMatch(new RegExp(code ?? ''));
      }
    }
    expect(fleet.inference).toEqual([]);
  });

  it('M12: names that nobody has leave no trace in metrics', async () => {
    const series = async () =>
      (await warmpath.metrics()).split('\n').filter((line) => !line.startsWith('#')).length;
    await post(`${warmpath.url}/api/chat`, chat('"random-0"'));
    const before = await series();
    for (let i = 0; i < 500; i++) {
      const name = `random-${Math.imul(i + 1, 0x9e3779b1) >>> 0}`;
      expect((await post(`${warmpath.url}/api/chat`, chat(`"${name}"`))).status).toBe(404);
    }
    expect(await series()).toBe(before);
    expect(await warmpath.metrics()).not.toContain('random-');
  });
});

/** A request of so many bytes with the model at its end, after one text of `filler`. */
function large(size: number, filler: string): Buffer {
  const [head, tail] = ['{"messages":[{"role":"user","content":"', '"}],"model":"alpha","stream":false}'];
  const count = Math.floor((size - head.length - tail.length) / filler.length);
  return Buffer.concat([Buffer.from(head), Buffer.alloc(count * filler.length, filler), Buffer.from(tail)]);
}
