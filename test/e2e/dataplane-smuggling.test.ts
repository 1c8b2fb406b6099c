import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { DEFAULT_TIMEOUTS } from '../../src/envoy/bootstrap/options.ts';
import { dataPlane } from './dataplane/envoy-binary.ts';
import { raw } from './dataplane/raw-http.ts';
import { Stack } from './dataplane/stack.ts';

const HEAD = 'POST /api/chat HTTP/1.1\r\nHost: localhost\r\n';
const SMUGGLED = 'POST /api/pull HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}';

dataPlane('what is between two requests', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.start({
      overrides: { timeouts: { ...DEFAULT_TIMEOUTS, requestHeaders: 600, request: 600 } },
    });
  });
  afterAll(() => stack?.stop());
  beforeEach(() => {
    stack.reset();
    stack.control.answer = () => ({ kind: 'route', addresses: [stack.node().address] });
  });

  /** Paths that the node was asked for. */
  const paths = () => stack.node().received.map(({ path }) => path);

  it.each([
    ['both lengths', `${HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    [
      'both lengths, the other order',
      `${HEAD}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ['two lengths', `${HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ${SMUGGLED}`],
    ['a list of lengths', `${HEAD}Content-Length: 2, 3\r\n\r\n{} ${SMUGGLED}`],
    ['a signed length', `${HEAD}Content-Length: +2\r\n\r\n{}${SMUGGLED}`],
    ['a negative length', `${HEAD}Content-Length: -2\r\n\r\n{}${SMUGGLED}`],
    ['a hexadecimal length', `${HEAD}Content-Length: 0x2\r\n\r\n{}${SMUGGLED}`],
    ['an endless length', `${HEAD}Content-Length: 99999999999999999999999\r\n\r\n{}`],
    ['chunked, identity', `${HEAD}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['xchunked', `${HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['gzip, chunked', `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    [
      'chunked twice',
      `${HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ['a tab in the coding', `${HEAD}Transfer-Encoding:\tchunked\x0b\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['a space before the colon', `${HEAD}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['an endless chunk', `${HEAD}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF1\r\n{}\r\n0\r\n\r\n`],
    ['a chunk that is no number', `${HEAD}Transfer-Encoding: chunked\r\n\r\n2z\r\n{}\r\n0\r\n\r\n`],
    ['a folded header', `${HEAD}X: a\r\n b\r\nContent-Length : 2\r\n\r\n{}`],
  ])('B25 B26 H12: %s: refused, nothing of it reaches a node', async (_what, bytes) => {
    const answer = await raw(stack.envoy.port, bytes);
    expect([400, 501]).toContain(answer.status);
    expect(answer.text.match(/^HTTP\/1/gm)).toHaveLength(1);
    expect(paths()).toEqual([]);
    expect((await stack.post('/api/chat', '{}')).status).toBe(200);
  });

  it.each([
    ['a chunk longer than its size', `${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\n{}{}\r\n0\r\n\r\n`],
    ['a bare CR in a header', `${HEAD}X: a\rTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}`],
    ['a bare LF after a header', `${HEAD}X: a\nContent-Length: 2\r\n\r\n{}`],
  ])('B25 H12: %s: Envoy takes it, and the node sees one clean request', async (_what, bytes) => {
    expect((await raw(stack.envoy.port, bytes)).status).toBe(200);
    expect(stack.node().received).toHaveLength(1);
    const { rawHeaders, headers, body } = stack.node().received[0] ?? {};
    expect(body?.toString()).toBe('{}');
    expect(JSON.stringify(rawHeaders)).not.toMatch(/\\r|\\n/);
    expect('transfer-encoding' in (headers ?? {}) !== 'content-length' in (headers ?? {})).toBe(true);
  });

  it('B23: a body shorter than its length is not sent on', async () => {
    const cut = await raw(stack.envoy.port, `${HEAD}Content-Length: 100\r\n\r\n{"model":"m"}`, {
      half: true,
    });
    expect([0, 400, 408]).toContain(cut.status);
    const waits = await raw(stack.envoy.port, `${HEAD}Content-Length: 100\r\n\r\n{"model":"m"}`);
    expect([waits.status, waits.timedOut]).toEqual([408, false]);
    expect(paths()).toEqual([]);
    expect(stack.control.asked).toEqual([]);
  });

  it('B24: what follows a body is the next request, judged by itself', async () => {
    const answer = await raw(stack.envoy.port, `${HEAD}Content-Length: 2\r\n\r\n{}${SMUGGLED}`, {
      timeoutMs: 400,
    });
    expect(answer.status).toBe(200);
    const garbage = await raw(stack.envoy.port, `${HEAD}Content-Length: 2\r\n\r\n{}garbage\r\n\r\n`, {
      timeoutMs: 400,
    });
    expect(garbage.status).toBe(200);
    expect(paths()).toEqual(['/api/chat', '/api/chat']);
  });

  it('F08: pipelined requests are answered in order, the forbidden one among them by us', async () => {
    stack.node().script = ({ body }, response) => {
      setTimeout(() => response.end(body), body.toString() === '"slow"' ? 80 : 0);
    };
    const one = (body: string) => `${HEAD}Content-Length: ${body.length}\r\n\r\n${body}`;
    const bytes = one('"slow"') + one('"b"') + one('"c"') + SMUGGLED;
    const answers = (text: string) => text.match(/^HTTP\/1\.1 /gm)?.length ?? 0;
    const { text } = await raw(stack.envoy.port, bytes, {
      until: (soFar) => answers(soFar) === 4 && soFar.includes('not allowed'),
    });
    expect(text).toMatch(/"slow".*"b".*"c".*not allowed/s);
    expect(stack.node().received.map(({ body }) => body.toString())).toEqual(['"slow"', '"b"', '"c"']);
  });

  it('B26: a body in chunks of one byte, with extensions, arrives whole', async () => {
    const body = '{"model":"m","prompt":"hello"}';
    const chunks = [...body].map((byte) => `1;ext=x\r\n${byte}\r\n`).join('');
    const answer = await raw(stack.envoy.port, `${HEAD}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`);
    expect(answer.status).toBe(200);
    expect(stack.node().received[0]?.body.toString()).toBe(body);
    expect(stack.control.asked[0]?.bones).toBe(body);
  });

  it('B26: a chunked body without its end is given up', async () => {
    const answer = await raw(stack.envoy.port, `${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n`);
    expect([answer.status, paths()]).toEqual([408, []]);
  });

  it('B27: trailers decide nothing', async () => {
    const trailers =
      'x-gateway-destination-endpoint: 127.0.0.1:1\r\nx-warmpath-cluster: warmpath\r\nauthorization: Bearer x\r\n';
    const bytes = `${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n${trailers}\r\n`;
    expect((await raw(stack.envoy.port, bytes)).status).toBe(200);
    expect(stack.node().received[0]?.headers.authorization).toBe('Bearer token-0');
    expect(stack.node().received[0]?.body.toString()).toBe('{}');
  });
});
