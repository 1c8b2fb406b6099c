import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { DEFAULT_LIMITS, DEFAULT_TIMEOUTS } from '../../src/envoy/bootstrap/options.ts';
import { dataPlane } from './dataplane/envoy-binary.ts';
import { freePort } from './dataplane/free-port.ts';
import { type RawAnswer, raw } from './dataplane/raw-http.ts';
import { Stack } from './dataplane/stack.ts';

const BODY = '{"model":"m"}';
const LIMIT = 64 * 1024;

/** One path per family, and what its error looks like. */
const FAMILIES = [
  { path: '/api/chat', shape: (message: unknown) => ({ error: message }) },
  {
    path: '/v1/chat/completions',
    shape: (message: unknown, type: unknown, code: unknown) => ({
      error: { message, type, param: null, code },
    }),
  },
  {
    path: '/v1/messages',
    shape: (message: unknown, _type: unknown, _code: unknown, anthropic: unknown) => ({
      type: 'error',
      error: { type: anthropic, message },
      request_id: expect.stringMatching(/^req_./),
    }),
  },
];

dataPlane('B20 G19: what Envoy answers by itself', () => {
  let stack: Stack;
  let refused: number;
  let silent: number;
  const hole = createServer((socket) => socket.on('error', () => {}));
  beforeAll(async () => {
    hole.listen(0, '127.0.0.1');
    await once(hole, 'listening');
    const address = hole.address();
    silent = typeof address === 'object' && address !== null ? address.port : 0;
    refused = await freePort();
    stack = await Stack.start({
      extra: [
        { name: 'refuses', port: refused },
        { name: 'silent', port: silent },
      ],
      overrides: {
        limits: { ...DEFAULT_LIMITS, bodyBytes: LIMIT },
        timeouts: { ...DEFAULT_TIMEOUTS, requestHeaders: 700, request: 900, streamIdle: 4_000 },
      },
    });
  });
  afterAll(async () => {
    await stack?.stop();
    hole.close();
  });
  beforeEach(() => {
    stack.reset();
    stack.control.answer = () => ({ kind: 'route', addresses: [stack.node().address] });
  });

  const expectShape = async (
    response: Response,
    shape: (typeof FAMILIES)[number]['shape'],
    want: { status: number; code: string; openai: string; anthropic: string; message?: RegExp },
  ) => {
    expect(response.status).toBe(want.status);
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(response.headers.get('x-warmpath-error')).toBe(want.code);
    expect(await response.json()).toEqual(
      shape(expect.stringMatching(want.message ?? /\w{3}/), want.openai, want.code, want.anthropic),
    );
    const names = [...response.headers.keys()];
    expect(names.filter((name) => name.startsWith('x-envoy') || name === 'server')).toEqual([]);
  };

  it.each(FAMILIES)('$path: a node that refuses', async ({ path, shape }) => {
    stack.control.answer = () => ({ kind: 'route', addresses: [`127.0.0.1:${refused}`] });
    const response = await stack.post(path, BODY);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(response.headers.get('x-warmpath-decision')).toBe('d-1');
    const want = { status: 503, code: 'upstream_failed', openai: 'api_error', anthropic: 'overloaded_error' };
    await expectShape(response, shape, want);
  });

  it.each(FAMILIES)('$path: a node that never answers', async ({ path, shape }) => {
    const headers = { 'x-envoy-upstream-rq-per-try-timeout-ms': '150' };
    stack.control.answer = () => ({ kind: 'route', addresses: [`127.0.0.1:${silent}`], headers });
    const want = { status: 504, code: 'upstream_timeout', openai: 'api_error', anthropic: 'api_error' };
    await expectShape(await stack.post(path, BODY), shape, want);
  });

  it.each(FAMILIES)('$path: a node that dies before its answer', async ({ path, shape }) => {
    stack.node().script = (_request, response) => response.socket?.destroy();
    const want = { status: 503, code: 'upstream_failed', openai: 'api_error', anthropic: 'overloaded_error' };
    await expectShape(await stack.post(path, BODY), shape, want);
  });

  it.each(FAMILIES)('F65 $path: a node that does not speak HTTP', async ({ path, shape }) => {
    stack.node().script = (_request, response) => response.socket?.end('SSH-2.0-x\r\n\r\n');
    const response = await stack.post(path, BODY);
    expect([502, 503]).toContain(response.status);
    const want = { status: response.status, code: 'upstream_failed', openai: 'api_error' };
    await expectShape(response, shape, { ...want, anthropic: 'overloaded_error' });
  });

  it.each(FAMILIES)('$path/x: a path that is not served', async ({ path, shape }) => {
    const want = { status: 403, code: 'not_allowed', openai: 'api_error', anthropic: 'permission_error' };
    await expectShape(await stack.post(`${path}/x`, BODY), shape, want);
  });

  it.each(FAMILIES)('$path: another method', async ({ path, shape }) => {
    const want = { status: 405, code: 'method_not_allowed', openai: 'api_error', anthropic: 'api_error' };
    await expectShape(await fetch(`${stack.envoy.url}${path}`, { method: 'DELETE' }), shape, want);
  });

  it.each(FAMILIES)('$path: an encoded body', async ({ path, shape }) => {
    const want = { status: 415, code: 'unsupported_encoding', openai: 'api_error', anthropic: 'api_error' };
    await expectShape(await stack.post(path, BODY, { 'content-encoding': 'gzip' }), shape, want);
  });

  it.each(FAMILIES)('$path: a foreign origin', async ({ path, shape }) => {
    const want = {
      status: 403,
      code: 'not_allowed',
      openai: 'api_error',
      anthropic: 'permission_error',
      message: /origin/,
    };
    await expectShape(await stack.post(path, BODY, { origin: 'http://evil.example' }), shape, want);
  });

  it.each(FAMILIES)('$path: an escaped slash', async ({ path, shape }) => {
    const want = {
      status: 400,
      code: 'bad_request',
      openai: 'invalid_request_error',
      anthropic: 'invalid_request_error',
    };
    await expectShape(await stack.post(`${path}%2f..`, BODY), shape, want);
  });

  it.each(FAMILIES)('$path: bodies up to the limit pass, and not one byte more', async ({ path, shape }) => {
    for (const size of [LIMIT - 1, LIMIT]) {
      const response = await stack.post(path, sized(size));
      expect(response.status).toBe(200);
      expect(stack.node().received.at(-1)?.body.length).toBe(size);
    }
    stack.reset();
    const want = {
      status: 413,
      code: 'body_too_large',
      openai: 'api_error',
      anthropic: 'request_too_large',
      message: /64|65536/,
    };
    await expectShape(await stack.post(path, sized(LIMIT + 1)), shape, want);
    await expectShape(await stack.post(path, sized(LIMIT * 40)), shape, want);
    expect(stack.reached).toBe(0);
    expect(stack.control.asked).toEqual([]);
  });

  it.each(FAMILIES)('$path: what ext_proc answers is left as it is', async ({ path }) => {
    const body = '{"error":{"message":"model \'x\' not found","deep":{"a":[1,null]}}}';
    const headers = {
      'content-type': 'application/json; charset=utf-8',
      'retry-after': '7',
      'x-warmpath-error': 'mine',
    };
    for (const status of [400, 403, 404, 405, 413, 429, 503]) {
      stack.control.answer = () => ({ kind: 'reply', status, body, headers, details: 'warmpath_something' });
      const response = await stack.post(path, BODY);
      expect([response.status, await response.text()]).toEqual([status, body]);
      expect(response.headers.get('retry-after')).toBe('7');
      expect(response.headers.get('x-warmpath-error')).toBe('mine');
      expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    }
  });

  it.each(FAMILIES)('F06 $path: a body that does not arrive in time', async ({ path, shape }) => {
    const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"model"`;
    const answer = await raw(stack.envoy.port, head, { timeoutMs: 3_000 });
    const want = { status: 408, code: 'request_timeout', openai: 'api_error', anthropic: 'api_error' };
    await expectShape(toResponse(answer), shape, want);
    expect(stack.control.asked).toEqual([]);
  });

  it('F05: headers that do not arrive in time', async () => {
    const answer = await raw(stack.envoy.port, 'POST /api/chat HTTP/1.1\r\nHost: lo', { timeoutMs: 3_000 });
    expect(answer.status).toBe(408);
    expect(JSON.parse(answer.body)).toEqual({ error: expect.stringMatching(/in time/) });
  });

  it.each([
    { what: 'garbage', bytes: 'hello there\r\n\r\n', status: 400 },
    { what: 'a NUL in a header', bytes: 'GET / HTTP/1.1\r\nHost: localhost\r\nx: a\0b\r\n\r\n', status: 400 },
    {
      what: 'two lengths',
      bytes: 'POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}',
      status: 400,
    },
    { what: 'no Host', bytes: 'GET / HTTP/1.1\r\n\r\n', status: 400 },
    {
      what: 'large headers',
      bytes: `GET / HTTP/1.1\r\nHost: localhost\r\nx: ${'a'.repeat(70_000)}\r\n\r\n`,
      status: 431,
    },
    {
      what: 'many headers',
      bytes: `GET / HTTP/1.1\r\nHost: localhost\r\n${'x: a\r\n'.repeat(101)}\r\n`,
      status: 431,
    },
    { what: 'an HTTP of another world', bytes: 'GET / HTTP/x.y\r\nHost: localhost\r\n\r\n', status: 400 },
    { what: 'CONNECT', bytes: 'CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n', status: 403 },
  ])('H11 H12 H13: $what', async ({ bytes, status }) => {
    const answer = await raw(stack.envoy.port, bytes);
    expect([answer.status, answer.timedOut]).toEqual([status, false]);
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(JSON.parse(answer.body)).toEqual({ error: expect.stringMatching(/\w{3}/) });
    expect(stack.reached).toBe(0);
  });

  it('H13: HTTP/1.0 is served, with and without Host', async () => {
    const head = `POST /api/chat HTTP/1.0\r\nContent-Length: ${BODY.length}\r\n`;
    expect((await raw(stack.envoy.port, `${head}\r\n${BODY}`)).body).toContain('"ok":true');
    expect((await raw(stack.envoy.port, `${head}Host: localhost\r\n\r\n${BODY}`)).body).toContain(
      '"ok":true',
    );
  });
});

dataPlane('a router that is its own node', () => {
  it.each(FAMILIES)('H15 $path: notices at once', async ({ path, shape }) => {
    const stack = await Stack.start({ nodes: 0, control: false });
    await stack.envoy.lastKnown([{ name: 'self', port: stack.envoy.port, hostname: 'localhost' }]);
    await expect.poll(() => stack.envoy.stat('cluster.nodes_last_known.membership_total')).toBe(1);
    const response = await stack.post(path, BODY);
    expect(response.status).toBe(508);
    expect(await response.json()).toEqual(
      shape(expect.stringContaining('leads back'), 'api_error', 'loop_detected', 'api_error'),
    );
    expect(await stack.envoy.stat('http.clients.downstream_rq_total')).toBe(2);
    await stack.stop();
  });
});

dataPlane('without any node', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.start({ nodes: 0, control: false });
  });
  afterAll(() => stack?.stop());

  it.each(FAMILIES)('$path says so', async ({ path, shape }) => {
    const response = await stack.post(path, BODY);
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2']);
    expect(await response.json()).toEqual(
      shape(expect.stringContaining('no node'), 'api_error', 'no_node', 'overloaded_error'),
    );
  });
});

function sized(bytes: number): string {
  const frame = '{"model":"m","prompt":""}';
  return `{"model":"m","prompt":"${'x'.repeat(bytes - frame.length)}"}`;
}

function toResponse(answer: RawAnswer): Response {
  return new Response(answer.body, { status: answer.status || 599, headers: [...answer.headers] });
}
