import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { COUNTED_ANSWERS, JSON_TYPE, last, lines, NDJSON, token } from '../support/counted-answers.ts';
import { dataPlane } from './dataplane/envoy-binary.ts';
import { Stack } from './dataplane/stack.ts';

/** Ways of cutting an answer into writes. */
const CUTS = [
  { how: 'at once', size: Number.POSITIVE_INFINITY },
  { how: 'in odd pieces', size: 97 },
  { how: 'byte by byte', size: 1 },
];

dataPlane('the tap', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.start();
  });
  afterAll(() => stack?.stop());
  beforeEach(() => {
    stack.reset();
    stack.control.answer = () => ({ kind: 'route', addresses: [stack.node().address] });
  });

  const logged = () => stack.control.entry(({ log }) => log === 'requests');
  // Entries come a little late: none may reach the next test.
  afterEach(async () => {
    await logged();
  });

  const read = async () => Object.fromEntries((await logged()).metadata.get('warmpath.tap') ?? []);

  describe.each(CUTS)('answers written $how', ({ size }) => {
    it.each(COUNTED_ANSWERS)('$name', async ({ type, body, want, status = 200 }) => {
      stack.node().script = (_request, response) => {
        response.writeHead(status, { 'content-type': type });
        void write(response, Buffer.from(body), size);
      };
      const answer = await stack.post('/api/generate', '{"model":"m"}');
      expect(await answer.text()).toBe(body);
      expect(await read()).toEqual(want);
    });
  });

  it.each([
    { status: 503, sent: undefined, want: '1' },
    { status: 429, sent: undefined, want: '1' },
    { status: 503, sent: '7', want: '7' },
    { status: 500, sent: undefined, want: null },
  ])('a node that answers $status, retry-after $sent, reaches the client with $want', async (given) => {
    const headers = given.sent === undefined ? {} : { 'retry-after': given.sent };
    stack.node().script = (_request, response) => {
      response.writeHead(given.status, { 'content-type': JSON_TYPE, ...headers });
      response.end('{"error":"busy"}');
    };
    const answer = await stack.post('/api/generate', '{"model":"m"}');
    expect(answer.status).toBe(given.status);
    expect(answer.headers.get('retry-after')).toBe(given.want);
    expect(await answer.text()).toBe('{"error":"busy"}');
  });

  it('G18: passes every chunk on at once', async () => {
    stack.node().script = (_request, response) => {
      response.writeHead(200, { 'content-type': NDJSON });
      response.write(token('first'));
      setTimeout(() => response.end(last), 400);
    };
    const answer = await stack.post('/api/generate', '{"model":"m"}');
    const reader = answer.body?.getReader();
    const began = performance.now();
    const first = await reader?.read();
    expect(Buffer.from(first?.value ?? []).toString()).toBe(token('first'));
    expect(performance.now() - began).toBeLessThan(200);
    const second = await reader?.read();
    expect(Buffer.from(second?.value ?? []).toString()).toBe(last);
  });

  it('passes a large answer byte for byte', async () => {
    const body = Buffer.alloc(8 << 20, lines(1));
    stack.node().script = (_request, response) => {
      response.writeHead(200, { 'content-type': JSON_TYPE });
      response.end(body);
    };
    const answer = await stack.post('/api/embed', '{"model":"m"}');
    expect(Buffer.from(await answer.arrayBuffer()).equals(body)).toBe(true);
  });

  it('says nothing of an answer that was cut, and does no harm', async () => {
    stack.node().script = (_request, response) => {
      response.writeHead(200, { 'content-type': NDJSON });
      response.write(lines(3));
      setTimeout(() => response.socket?.destroy(), 30);
    };
    const answer = await stack.post('/api/generate', '{"model":"m"}');
    await expect(answer.text()).rejects.toThrow();
    expect(await read()).toEqual({});
    expect(stack.envoy.log).not.toMatch(/lua/i);
  });
});

async function write(response: ServerResponse, body: Buffer, size: number): Promise<void> {
  response.socket?.setNoDelay(true);
  for (let at = 0; at < body.length; at += size) {
    response.write(body.subarray(at, Math.min(body.length, at + size)));
    // Lets the pieces leave one by one, without waiting for each.
    if (size > 1 || at % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  response.end();
}
