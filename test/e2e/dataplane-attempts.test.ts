import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Logged } from './dataplane/control-plane.ts';
import { dataPlane } from './dataplane/envoy-binary.ts';
import { freePort } from './dataplane/free-port.ts';
import { type Script, ScriptedNode } from './dataplane/scripted-node.ts';
import { Stack } from './dataplane/stack.ts';

const BODY = '{"model":"m"}';
const PER_TRY = { 'x-envoy-upstream-rq-per-try-timeout-ms': '200' };
const NOT_FOUND = { 'x-envoy-retriable-status-codes': '404' };

const answer =
  (status: number, headers: Record<string, string> = {}): Script =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(`{"status":${status}}`);
  };

dataPlane('with the control plane', () => {
  let stack: Stack;
  let refused: number;
  let silent: number;
  const bare = new ScriptedNode();
  let decisions = 0;
  let decision = '';
  const hole = createServer((socket) => socket.on('error', () => {}));
  beforeAll(async () => {
    hole.listen(0, '127.0.0.1');
    await once(hole, 'listening');
    const address = hole.address();
    silent = typeof address === 'object' && address !== null ? address.port : 0;
    refused = await freePort();
    const extra = [
      { name: 'refuses', port: refused },
      { name: 'silent', port: silent },
      { name: 'bare', port: await bare.start() },
    ];
    stack = await Stack.start({ nodes: 3, extra });
  });
  afterAll(async () => {
    await stack?.stop();
    await bare.stop();
    hole.close();
  });
  beforeEach(() => {
    stack.reset();
    bare.received.length = 0;
  });

  const route = (ports: readonly number[], headers: Record<string, string> = {}) => {
    const addresses = ports.map((port) => `127.0.0.1:${port}`);
    decision = `d-${++decisions}`;
    const all = { 'x-warmpath-decision': decision, ...headers };
    stack.control.answer = () => ({ kind: 'route', addresses, headers: all });
  };
  // Entries of an earlier test may still arrive: the decision tells them apart.
  const ours = (entry: Logged) => entry.requestHeaders['x-warmpath-decision'] === decision;
  const attempts = () => stack.control.logged.filter((entry) => entry.log === 'attempts' && ours(entry));
  const ended = () => stack.control.entry((entry) => entry.log === 'requests' && ours(entry));

  it('sends a request where the list says, and names the node, the tries and the decision', async () => {
    route([stack.node(2).port]);
    const response = await stack.post('/api/chat', BODY);
    expect(response.headers.get('x-warmpath-node')).toBe('node-2');
    expect(response.headers.get('x-warmpath-attempts')).toBe('1');
    expect(response.headers.get('x-warmpath-decision')).toBe(decision);
    expect(stack.node(2).received).toHaveLength(1);
    expect(stack.reached).toBe(1);
    const end = await ended();
    expect(end).toMatchObject({ status: 200, attempts: 1, port: stack.node(2).port });
    expect(end.requestHeaders).toEqual({ 'x-warmpath-decision': decision });
    expect(attempts()).toEqual([]);
  });

  it("S17 F50: each try carries its own node's token and Host, and nothing of the client's or of the first node", async () => {
    stack.node(0).script = answer(500);
    route([stack.node(0).port, stack.node(1).port]);
    await stack.post('/api/chat', BODY, {
      authorization: 'Bearer mine',
      cookie: 'a=b',
      origin: 'http://localhost',
    });
    for (const i of [0, 1]) {
      const { headers, body } = stack.node(i).received[0] ?? { headers: {} };
      expect(headers.authorization).toBe(`Bearer token-${i}`);
      expect(headers.host).toBe(`node-${i}.test`);
      expect(body?.toString()).toBe(BODY);
      const names = Object.keys(headers).filter((name) =>
        /^x-(?!request-id|warmpath-decision)|cookie|origin/.test(name),
      );
      expect(names).toEqual([]);
    }
  });

  it('S17: a node without a token is sent none, after a failed try with one either', async () => {
    stack.node(0).script = answer(500);
    for (const list of [[bare.port], [stack.node(0).port, bare.port]]) {
      route(list);
      await stack.post('/api/chat', BODY, { authorization: 'Bearer mine' });
    }
    expect(bare.received.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
  });

  it.each([
    { what: 'refuses', port: () => refused, flags: ['upstream_connection_failure'], status: 0 },
    {
      what: 'resets',
      script: ((_request, response) => response.socket?.destroy()) as Script,
      flags: ['upstream_connection_termination'],
      status: 0,
    },
    { what: 'does not answer in time', port: () => silent, flags: ['upstream_request_timeout'], status: 0 },
    {
      what: 'speaks no HTTP',
      script: ((_request, response) => response.socket?.end('nonsense\r\n\r\n')) as Script,
      flags: ['upstream_protocol_error'],
      status: 0,
    },
    { what: 'says 429', script: answer(429, { 'retry-after': '7' }), flags: [], status: 429 },
    { what: 'says 500', script: answer(500), flags: [], status: 500 },
    { what: 'says 502', script: answer(502), flags: [], status: 502 },
    { what: 'says 503', script: answer(503), flags: [], status: 503 },
    { what: 'says 504', script: answer(504), flags: [], status: 504 },
  ])(
    'F50 F52 F56 F58: a first node that $what is passed over, and reported while the request still runs',
    async ({ script, port, flags, status }) => {
      if (script !== undefined) stack.node(0).script = script;
      const first = port?.() ?? stack.node(0).port;
      stack.node(1).script = (request, response) =>
        void setTimeout(() => answer(200)(request, response, request as never), 300);
      route([first, stack.node(1).port], perTryTimeout(first === silent));
      const began = performance.now();
      const response = await stack.post('/api/chat', BODY);
      expect(response.status).toBe(200);
      expect(response.headers.get('x-warmpath-node')).toBe('node-1');
      expect(response.headers.get('x-warmpath-attempts')).toBe('2');
      const answered = performance.now();
      const [failed, ...more] = attempts();
      expect(more).toEqual([]);
      expect(failed?.port).toBe(first);
      expect(failed?.status).toBe(status);
      expect(failed?.flags).toEqual(expect.arrayContaining(flags));
      if (status === 429) expect(failed?.responseHeaders).toEqual({ 'retry-after': '7' });
      expect((failed?.at ?? answered) - began).toBeLessThan(answered - began - 150);
    },
  );

  it('F60: other 4xx come back as they are, without another try', async () => {
    for (const status of [400, 401, 404, 409, 422]) {
      stack.reset();
      stack.node(0).script = answer(status);
      route([stack.node(0).port, stack.node(1).port]);
      const response = await stack.post('/api/chat', BODY);
      expect([response.status, await response.text(), stack.reached]).toEqual([
        status,
        `{"status":${status}}`,
        1,
      ]);
      expect(response.headers.has('x-warmpath-error')).toBe(false);
    }
  });

  it('F59: a 404 goes to the next node where ext_proc asks for it, and is reported', async () => {
    stack.node(0).script = answer(404);
    route([stack.node(0).port, stack.node(1).port], NOT_FOUND);
    expect((await stack.post('/api/chat', BODY)).status).toBe(200);
    expect(attempts().map(({ status, port }) => [status, port])).toEqual([[404, stack.node(0).port]]);
  });

  it('ends with the list: no further node is tried, and the last answer comes back', async () => {
    stack.node(0).script = answer(503, { 'retry-after': '3' });
    stack.node(1).script = answer(500);
    route([stack.node(0).port, stack.node(1).port]);
    const response = await stack.post('/api/chat', BODY);
    expect([response.status, await response.text()]).toEqual([500, '{"status":500}']);
    expect(stack.node(2).received).toEqual([]);
    const end = await ended();
    expect(end).toMatchObject({ status: 500, attempts: 2, details: 'via_upstream' });
    expect(end.metadata.get('envoy.lb')?.get('x-gateway-destination-endpoint-served')).toBe(
      `127.0.0.1:${stack.node(1).port}`,
    );
    expect(attempts().map(({ status }) => status)).toEqual([503, 500]);
  });

  it('F54: nothing is tried again once the answer has begun, and its end is visibly broken', async () => {
    stack.node(0).script = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.write('{"done":false}\n');
      setTimeout(() => response.socket?.destroy(), 50);
    };
    route([stack.node(0).port, stack.node(1).port]);
    const response = await stack.post('/api/chat', BODY);
    await expect(response.text()).rejects.toThrow();
    expect(stack.reached).toBe(1);
    const [failed] = attempts();
    expect([failed?.status, failed?.port]).toEqual([200, stack.node(0).port]);
  });

  it('F52: two silent nodes cost their per-try timeouts, then 504', async () => {
    route([silent, silent], PER_TRY);
    const response = await stack.post('/v1/chat/completions', BODY);
    expect(response.status).toBe(504);
    expect(response.headers.get('x-warmpath-attempts')).toBe('2');
  });

  it('G1 F50: two hundred at once survive a node that refuses', async () => {
    route([refused, stack.node(1).port]);
    stack.node(1).script = (request, response) =>
      void setTimeout(() => answer(200)(request, response, request as never), 50);
    const all = await Promise.all(Array.from({ length: 200 }, () => stack.post('/api/chat', BODY)));
    expect(all.filter(({ status }) => status !== 200)).toEqual([]);
    expect(stack.node(1).received).toHaveLength(200);
    await Promise.all(all.map((response) => response.text()));
  });

  it('B21 B22: retries carry large bodies whole', async () => {
    const body = Buffer.alloc(5 << 20, '{"model":"m"} padding ');
    stack.node(0).script = answer(503);
    route([refused, stack.node(0).port, stack.node(1).port]);
    expect((await stack.post('/api/chat', body)).status).toBe(200);
    expect(stack.node(1).received[0]?.body.equals(body)).toBe(true);
  });

  it('the ext_proc stream lasts to the real end of the request, however that comes', async () => {
    const streams = () => stack.control.streams.filter(({ path }) => path === '/api/chat?guard');
    stack.node(0).script = (_request, response) => {
      response.writeHead(200);
      response.write('a');
      setTimeout(() => response.end('b'), 400);
    };
    route([stack.node(0).port]);
    await (await stack.post('/api/chat?guard', BODY)).text();
    await expect.poll(() => streams().length).toBe(1);
    expect(streams()[0]?.livedMs).toBeGreaterThan(380);

    const hangUp = new AbortController();
    const began = performance.now();
    const response = await fetch(`${stack.envoy.url}/api/chat?guard`, {
      method: 'POST',
      body: BODY,
      signal: hangUp.signal,
    });
    hangUp.abort();
    const gone = performance.now() - began;
    await response.text().catch(() => {});
    await expect.poll(() => streams().length).toBe(2);
    expect(streams()[1]?.livedMs).toBeLessThan(gone + 150);
    expect(stack.control.open).toBe(0);
  });

  it('F01: a client that gives up while ext_proc holds its request is seen at once', async () => {
    stack.control.answer = () => ({ kind: 'hang' });
    const hangUp = new AbortController();
    const pending = fetch(`${stack.envoy.url}/api/chat`, {
      method: 'POST',
      body: BODY,
      signal: hangUp.signal,
    });
    await expect.poll(() => stack.control.open).toBe(1);
    hangUp.abort();
    await expect(pending).rejects.toThrow();
    await expect.poll(() => stack.control.open, { timeout: 100, interval: 5 }).toBe(0);
    expect(stack.reached).toBe(0);
  });

  it("F03: a client that hangs up ends the node's work", async () => {
    const stopped = Promise.withResolvers<number>();
    stack.node(0).script = (_request, response) => {
      response.writeHead(200);
      response.write('a');
      response.on('close', () => stopped.resolve(performance.now()));
    };
    route([stack.node(0).port]);
    const hangUp = new AbortController();
    await fetch(`${stack.envoy.url}/api/chat`, { method: 'POST', body: BODY, signal: hangUp.signal });
    const began = performance.now();
    hangUp.abort();
    expect((await stopped.promise) - began).toBeLessThan(200);
    const end = await ended();
    expect(end.flags).toContain('downstream_connection_termination');
    expect(attempts()).toEqual([]);
  });

  it('H08: reads are answered by ext_proc, HEAD without a body, and names with slashes reach it', async () => {
    const headers = { 'content-type': 'application/json; charset=utf-8' };
    stack.control.answer = ({ headers: asked }) => ({
      kind: 'reply',
      status: 200,
      body: `"${asked.get(':path')}"`,
      headers,
    });
    for (const path of [
      '/',
      '/api/version',
      '/api/tags',
      '/api/ps',
      '/v1/models',
      '/v1/models/m',
      '/v1/models/a/b:c',
    ]) {
      const get = await fetch(`${stack.envoy.url}${path}`);
      expect([get.status, await get.text()], path).toEqual([200, `"${path}"`]);
      const head = await fetch(`${stack.envoy.url}${path}`, { method: 'HEAD' });
      expect([head.status, await head.text(), head.headers.get('content-type')], path).toEqual([
        200,
        '',
        headers['content-type'],
      ]);
    }
    expect(stack.reached).toBe(0);
    expect(stack.control.asked).toHaveLength(14);
  });
});

/** Long enough for the slow second node, short for a silent first one. */
function perTryTimeout(isSilent: boolean): Record<string, string> {
  return isSilent ? { 'x-envoy-upstream-rq-per-try-timeout-ms': '500' } : {};
}

dataPlane('without the control plane', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.start({ nodes: 3, control: false });
  });
  afterAll(() => stack?.stop());
  beforeEach(async () => {
    stack.reset();
    await stack.envoy.lastKnown(stack.endpoints);
  });

  it('F13 F20: inference and reads go to the nodes last known', async () => {
    for (const path of ['/api/chat', '/v1/messages']) expect((await stack.post(path, BODY)).status).toBe(200);
    for (const path of ['/api/tags', '/v1/models', '/v1/models/m', '/'])
      expect((await fetch(`${stack.envoy.url}${path}`)).status).toBe(200);
    expect(stack.reached).toBe(6);
    expect((await fetch(`${stack.envoy.url}/v1/models/a/b`)).status).toBe(404);
    expect(stack.reached).toBe(6);
  });

  it('F59: a node that lacks the model is passed over; if all do, its own answer comes back', async () => {
    stack.node(0).script = answer(404);
    stack.node(1).script = answer(404);
    for (let i = 0; i < 100; i++) expect((await stack.post('/api/chat', BODY)).status).toBe(200);
    stack.node(2).script = answer(404);
    const response = await stack.post('/api/chat', BODY);
    expect([response.status, await response.text()]).toEqual([404, '{"status":404}']);
  });

  it('F69: unhealthy nodes get nothing while a healthy one is left, and everything when none is', async () => {
    const health = (statuses: readonly ('HEALTHY' | 'UNHEALTHY' | 'DRAINING')[]) =>
      stack.envoy.lastKnown(
        stack.endpoints.map((endpoint, i) => ({ ...endpoint, health: statuses[i] ?? 'HEALTHY' })),
      );
    await health(['UNHEALTHY', 'HEALTHY', 'DRAINING']);
    await expect.poll(() => stack.envoy.stat('cluster.nodes_last_known.membership_healthy')).toBe(1);
    for (let i = 0; i < 10; i++) await stack.post('/api/chat', BODY);
    expect(stack.nodes.map(({ received }) => received.length)).toEqual([0, 10, 0]);
    await health(['UNHEALTHY', 'UNHEALTHY', 'UNHEALTHY']);
    await expect.poll(() => stack.envoy.stat('cluster.nodes_last_known.membership_healthy')).toBe(0);
    expect((await stack.post('/api/chat', BODY)).status).toBe(200);
  });

  it('survives a broken file', async () => {
    const { writeFile, rename } = await import('node:fs/promises');
    const path = stack.envoy.options.lastKnownFile;
    await writeFile(`${path}.new`, '{"version_info": "x", "resources": [');
    await rename(`${path}.new`, path);
    expect((await stack.post('/api/chat', BODY)).status).toBe(200);
  });
});

dataPlane('x-warmpath headers switched off', () => {
  it("leaves none on any answer, not even a node's own", async () => {
    const stack = await Stack.start({ overrides: { exposeHeaders: false } });
    stack.control.answer = () => ({ kind: 'route', addresses: [stack.node().address] });
    stack.node().script = answer(200, { 'x-warmpath-node': 'forged', 'x-warmpath-attempts': '9' });
    const names = [...(await stack.post('/api/chat', BODY)).headers.keys()];
    expect(names.filter((name) => name.startsWith('x-'))).toEqual([]);
    await stack.stop();
  });
});
