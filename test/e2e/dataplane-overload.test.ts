import { afterEach, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../src/envoy/bootstrap/options.ts';
import { dataPlane } from './dataplane/envoy-binary.ts';
import { raw } from './dataplane/raw-http.ts';
import { Stack } from './dataplane/stack.ts';

const MIB = 1024 * 1024;

dataPlane('more than the machine can hold', () => {
  let stack: Stack;
  afterEach(() => stack?.stop());

  it.each([
    ['/api/chat', { error: expect.stringMatching(/memory/) }],
    [
      '/v1/completions',
      { error: { message: expect.any(String), type: 'api_error', param: null, code: 'overloaded' } },
    ],
  ])('F16: near its heap limit %s answers 503 and says when to come back', async (path, shape) => {
    stack = await Stack.start({ overrides: { limits: { ...DEFAULT_LIMITS, heapBytes: 1 } } });
    await expect
      .poll(() => stack.envoy.stat('overload.envoy.overload_actions.stop_accepting_requests.active'), {
        timeout: 5_000,
      })
      .toBe(1);
    const response = await stack.post(path, '{"model":"m"}');
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5']);
    expect(await response.json()).toEqual(shape);
    expect(stack.reached).toBe(0);
  });

  it('F17: connections past the limit are closed, older ones go on', async () => {
    stack = await Stack.start({ overrides: { limits: { ...DEFAULT_LIMITS, connections: 2 } } });
    stack.control.answer = () => ({ kind: 'route', addresses: [stack.node().address] });
    const began = Promise.withResolvers<void>();
    let running = 0;
    stack.node().script = (_request, response) => {
      if (++running === 2) began.resolve();
      setTimeout(() => response.end('done'), 500);
    };
    const head = 'POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}';
    const older = [raw(stack.envoy.port, head), raw(stack.envoy.port, head)];
    await began.promise;
    expect((await raw(stack.envoy.port, head)).status).toBe(0);
    for (const answer of await Promise.all(older))
      expect([answer.status, answer.body]).toEqual([200, 'done']);
    // Their connections have ended too, as soon as Envoy has counted that.
    await expect.poll(async () => (await raw(stack.envoy.port, head)).status, { timeout: 5_000 }).toBe(200);
  });

  it('F04: a slow reader of a fast stream holds up no more than the buffers', async () => {
    stack = await Stack.start();
    stack.control.answer = () => ({ kind: 'route', addresses: [stack.node().address] });
    let written = 0;
    stack.node().script = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      const chunk = Buffer.alloc(64 * 1024, 'x');
      const more = () => {
        while (written < 200 * MIB) {
          written += chunk.length;
          if (!response.write(chunk)) return void response.once('drain', more);
        }
        response.end();
      };
      more();
    };
    const response = await stack.post('/api/chat', '{}');
    const before = await stack.envoy.stat('server.memory_allocated');
    let last = -1;
    await expect
      .poll(
        () => {
          const settled = written === last;
          last = written;
          return settled;
        },
        { interval: 150, timeout: 5_000 },
      )
      .toBe(true);
    expect(written).toBeLessThan(64 * MIB);
    expect((await stack.envoy.stat('server.memory_allocated')) - before).toBeLessThan(16 * MIB);
    await response.body?.cancel();
  });
});
