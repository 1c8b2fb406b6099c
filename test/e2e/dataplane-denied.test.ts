import { connect } from 'node:http2';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { dataPlaneEach } from './dataplane/envoy-binary.ts';
import { eachOf, raw } from './dataplane/raw-http.ts';
import { Stack } from './dataplane/stack.ts';

const PRIVILEGED = [
  '/api/pull',
  '/api/push',
  '/api/create',
  '/api/copy',
  '/api/delete',
  '/api/blobs/sha256:0000',
  '/api/me',
  '/api/signout',
  '/api/user/keys/x',
  '/api/status',
  '/api/experimental/web_fetch',
  '/api/experimental/web_search',
  '/api/experimental/model-recommendations',
  '/v1/images/generations',
  '/v1/audio/transcriptions',
  '/v1/responses/compact',
  '/metrics',
  '/config_dump',
  '/quitquitquit',
];

/** Ways of writing /api/pull and its neighbours that have slipped past somebody's path check. */
const SPELLINGS = [
  ...PRIVILEGED,
  '//api/pull',
  '/api//pull',
  '///api///pull',
  '/./api/pull',
  '/api/./pull',
  '/api/x/../pull',
  '/api/chat/../pull',
  '/../api/pull',
  '/..;/api/pull',
  '/%61pi/pull',
  '/api/%70ull',
  '/api/pu%6c%6c',
  '/api/%2570ull',
  '/api%2fpull',
  '/api%2Fpull',
  '/api%5cpull',
  '/api\\pull',
  '/api/pull/',
  '/api/pull//',
  '/api/pull?',
  '/api/pull?x=/api/chat',
  '/api/pull#/api/chat',
  '/api/pull;x=y',
  '/api;/pull',
  '/api;x/pull',
  '/API/pull',
  '/api/PULL',
  '/Api/Pull',
  '/api/pull%00',
  '/api/pull%20',
  '/api/pull%0a',
  '/api/pull%0d%0a',
  '/api/pull%c0%af',
  '/api/chat%2f..%2fpull',
  '/api/chat/%2e%2e/pull',
  '/api/chat/..%2fpull',
  '/api/chat/.%2e/pull',
  '/api/chat/pull',
  '/api/chat/',
  '/api/chat;/../pull',
  '/api/chat%00/../pull',
  '/v1/models/../../api/pull',
  '/v1/models/%2e%2e/%2e%2e/api/pull',
  '/v1/chat/completions/../../../api/pull',
  '*',
  'api/pull',
  `/${'a'.repeat(50_000)}/../api/pull`,
];

const METHODS = ['POST', 'DELETE', 'PUT', 'PATCH', 'HEAD', 'GET', 'post', 'FOO', 'TRACE', 'OPTIONS'];

const BODY = '{"model":"m","name":"m"}';

dataPlaneEach([
  { state: 'alive', control: true },
  { state: 'dead', control: false },
])('with the control plane $state', ({ control }) => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.start({ control });
    stack.control.answer = () => ({ kind: 'route', addresses: [stack.node().address] });
  });
  afterAll(() => stack?.stop());
  beforeEach(() => stack.reset());

  it('G5 F20 H04 H07: no spelling of a privileged path reaches a node by any method', async () => {
    const wrong: string[] = [];
    const attempts = SPELLINGS.flatMap((path) => METHODS.map((method) => ({ path, method })));
    await eachOf(attempts, 16, async ({ path, method }) => {
      const head = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${BODY.length}\r\n\r\n`;
      const { status, timedOut } = await raw(stack.envoy.port, head + BODY);
      if (timedOut || ![400, 403, 404, 405].includes(status))
        wrong.push(`${method} ${path.slice(0, 60)}: ${timedOut ? 'no answer' : status}`);
    });
    expect(wrong).toEqual([]);
    expect(SPELLINGS.length).toBeGreaterThanOrEqual(60);
    expect(stack.reached).toBe(0);
    expect(stack.control.asked.filter(({ headers }) => headers.get(':method') !== 'GET')).toEqual([]);
    expect((await stack.post('/api/chat', BODY)).status).toBe(200);
  });

  it('H04: the absolute form and foreign targets reach no node', async () => {
    for (const line of [
      'POST http://localhost/api/pull HTTP/1.1',
      'POST http://127.0.0.1:1/api/pull HTTP/1.1',
      'CONNECT localhost:11434 HTTP/1.1',
      'CONNECT /api/pull HTTP/1.1',
      'OPTIONS * HTTP/1.1',
      'PRI * HTTP/2.0',
    ]) {
      const { status } = await raw(
        stack.envoy.port,
        `${line}\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}`,
      );
      expect([0, 400, 403, 404, 405], line).toContain(status);
    }
    expect(stack.reached).toBe(0);
  });

  it('G5 H10: nor over HTTP/2', async () => {
    // A connection each: some paths are protocol errors, which end it.
    const ask = (headers: Record<string, string>): Promise<number> => {
      const { promise, resolve } = Promise.withResolvers<number>();
      const session = connect(stack.envoy.url).on('error', () => resolve(0));
      const stream = session.request(headers);
      stream.on('response', (answer) => resolve(answer[':status'] ?? 0));
      stream.on('error', () => resolve(0));
      stream.on('close', () => resolve(0));
      stream.resume();
      stream.end(headers[':method'] === 'GET' ? '' : BODY);
      return promise.finally(() => session.destroy());
    };
    const wrong: string[] = [];
    const paths = SPELLINGS.filter((path) => path.length < 100);
    await eachOf(
      paths.flatMap((path) => ['POST', 'DELETE', 'GET'].map((method) => ({ path, method }))),
      8,
      async ({ path, method }) => {
        const status = await ask({ ':method': method, ':path': path, ':authority': 'localhost' });
        if (![0, 400, 403, 404, 405].includes(status)) wrong.push(`${method} ${path}: ${status}`);
      },
    );
    expect(wrong).toEqual([]);
    expect(stack.reached).toBe(0);
    const good = { ':method': 'POST', ':path': '/api/chat', ':authority': 'localhost' };
    expect(await ask({ ...good, 'x-warmpath-cluster': 'warmpath', 'x-envoy-max-retries': '9' })).toBe(200);
    expect(stack.node().received).toHaveLength(1);
  });

  it('H05: a method cannot be overridden by a header', async () => {
    const headers = {
      'x-http-method-override': 'DELETE',
      'x-http-method': 'DELETE',
      'x-method-override': 'DELETE',
    };
    expect((await stack.post('/api/chat', BODY, headers)).status).toBe(200);
    expect((await stack.post('/api/delete?_method=POST', BODY, headers)).status).toBe(403);
    expect(stack.node().received).toHaveLength(1);
    for (const name of Object.keys(headers))
      expect(stack.node().received[0]?.headers).not.toHaveProperty(name);
  });

  it('H01 H02 H03: what clients write into internal headers is dropped before anything reads it', async () => {
    const forged = [
      'x-gateway-destination-endpoint: 169.254.169.254:80',
      'X-Gateway-Destination-Endpoint: 127.0.0.1:1',
      'X-GATEWAY-DESTINATION-ENDPOINT: 127.0.0.1:1,127.0.0.1:2',
      'x_gateway_destination_endpoint: 127.0.0.1:1',
      'x-warmpath-cluster: warmpath',
      'X-Warmpath-Cluster: nodes',
      'x-warmpath-decision: forged',
      'x-warmpath-node: forged',
      'x-envoy-max-retries: 99',
      'x-envoy-retry-on: 5xx',
      'x-envoy-upstream-rq-timeout-ms: 1',
      'x-envoy-upstream-rq-per-try-timeout-ms: 1',
      'x-envoy-original-path: /api/pull',
      'x-envoy-original-dst-host: 127.0.0.1:1',
      'x-envoy-force-trace: true',
      'x-envoy-internal: true',
      'x-envoy-decorator-operation: x',
      'x-envoy-upstream-alt-stat-name: x',
      'x-envoy-external-address: 127.0.0.1',
      'x-request-id: forged',
      'x-forwarded-for: 127.0.0.1',
      'x-forwarded-host: evil.example',
      'x-original-url: /api/pull',
      'x-rewrite-url: /api/pull',
      'forwarded: for=127.0.0.1',
      'authorization: Bearer client-secret',
      'cookie: session=client-secret',
    ];
    const head = ['POST /api/chat HTTP/1.1', 'Host: localhost', `Content-Length: ${BODY.length}`, ...forged];
    const { status } = await raw(stack.envoy.port, `${head.join('\r\n')}\r\n\r\n${BODY}`);
    expect(status).toBe(200);
    const seen = stack.node().received[0];
    expect(seen?.path).toBe('/api/chat');
    expect(JSON.stringify(seen?.rawHeaders)).not.toMatch(
      /forged|evil|client-secret|169\.254|127\.0\.0\.1:1|x-envoy|original/i,
    );
    expect(seen?.headers.authorization).toBe('Bearer token-0');
    const names = Object.keys(seen?.headers ?? {}).sort();
    const own = control ? ['x-warmpath-decision'] : [];
    expect(names).toEqual(
      ['authorization', 'cdn-loop', 'content-length', 'host', 'x-request-id', ...own].sort(),
    );
    for (const { headers } of stack.control.asked) {
      expect(JSON.stringify([...headers])).not.toMatch(/forged|evil|client-secret|169\.254|127\.0\.0\.1:1/);
    }
    expect(stack.control.asked).toHaveLength(control ? 1 : 0);
  });

  it('H09: hop-by-hop tricks and upgrades do not change what a node is asked', async () => {
    for (const extra of [
      'Connection: upgrade\r\nUpgrade: websocket',
      'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
      'Connection: close, authorization, host, content-length',
      'Connection: x-warmpath-cluster\r\nx-warmpath-cluster: nodes',
    ]) {
      stack.reset();
      const head = `POST /api/chat HTTP/1.1\r\nHost: localhost\r\n${extra}\r\nContent-Length: ${BODY.length}\r\n\r\n`;
      const { status } = await raw(stack.envoy.port, head + BODY);
      expect([200, 400, 403], extra).toContain(status);
      for (const { headers, body } of stack.node().received) {
        expect(headers.authorization).toBe('Bearer token-0');
        expect(headers).not.toHaveProperty('upgrade');
        expect(body.toString()).toBe(BODY);
      }
    }
  });

  it('B33: a listed path by another method is refused with the methods that it takes', async () => {
    for (const [method, path, allow] of [
      ['GET', '/api/chat', 'POST'],
      ['HEAD', '/api/generate', 'POST'],
      ['DELETE', '/v1/chat/completions', 'POST'],
      ['PATCH', '/v1/messages', 'POST'],
      ['OPTIONS', '/api/chat', 'POST'],
      ['POST', '/api/tags', 'GET, HEAD'],
      ['DELETE', '/v1/models/llama3', 'GET, HEAD'],
      ['POST', '/', 'GET, HEAD'],
    ] as const) {
      const response = await fetch(`${stack.envoy.url}${path}`, { method });
      expect([response.status, response.headers.get('allow')], `${method} ${path}`).toEqual([405, allow]);
      expect(response.headers.get('x-warmpath-error')).toBe('method_not_allowed');
    }
    expect(stack.reached).toBe(0);
    expect(stack.control.asked).toEqual([]);
  });

  it.each(['gzip', 'br', 'deflate', 'zstd', 'GZIP', 'gzip, identity', 'x'])(
    'B28: a body with Content-Encoding %s is refused without being read',
    async (encoding) => {
      const response = await stack.post('/v1/chat/completions', BODY, { 'content-encoding': encoding });
      expect(response.status).toBe(415);
      expect(await response.json()).toMatchObject({ error: { code: 'unsupported_encoding' } });
      expect(stack.reached).toBe(0);
      expect(stack.control.asked).toEqual([]);
    },
  );

  it('B28: Content-Encoding identity is no encoding', async () => {
    expect((await stack.post('/api/chat', BODY, { 'content-encoding': 'identity' })).status).toBe(200);
  });

  it('B30: 100-continue is answered, any other expectation refused', async () => {
    const head = `POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${BODY.length}\r\nExpect: `;
    const polite = await raw(stack.envoy.port, `${head}100-continue\r\n\r\n${BODY}`, { timeoutMs: 700 });
    expect(polite.text).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
    expect((await raw(stack.envoy.port, `${head}something\r\n\r\n${BODY}`)).status).toBe(417);
    expect(stack.reached).toBe(1);
  });
});
