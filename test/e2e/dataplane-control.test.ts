import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { dataPlane } from './dataplane/envoy-binary.ts';
import { Stack } from './dataplane/stack.ts';

const BODY = '{"model":"m"}';

dataPlane('a control plane that goes and comes back', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.start({ nodes: 2 });
  });
  afterAll(() => stack?.stop());
  beforeEach(() => {
    stack.reset();
    stack.control.answer = () => ({ kind: 'route', addresses: [stack.node(1).address] });
  });
  const healthy = (want: number) =>
    expect
      .poll(() => stack.envoy.stat('cluster.warmpath.membership_healthy'), { timeout: 5_000, interval: 20 })
      .toBe(want);
  const decision = async () => (await stack.post('/api/chat', BODY)).headers.get('x-warmpath-decision');

  it('F20 F27 G3: costs no request, and routes again within two seconds', async () => {
    await healthy(1);
    expect(await decision()).toBe('d-1');
    stack.control.stop();
    for (let i = 0; i < 20; i++) {
      const response = await stack.post('/api/chat', BODY);
      expect([response.status, response.headers.get('x-warmpath-decision')]).toEqual([200, null]);
    }
    await healthy(0);
    const began = performance.now();
    await stack.control.start(stack.envoy.grpcSocket);
    await expect.poll(decision, { timeout: 5_000, interval: 20 }).toBe('d-1');
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  it('F21: its loss leaves running answers alone', async () => {
    await healthy(1);
    stack.node(1).script = (_request, response) => {
      response.write('a');
      setTimeout(() => response.end('b'), 400);
    };
    const responses = await Promise.all(Array.from({ length: 10 }, () => stack.post('/api/chat', BODY)));
    stack.control.stop();
    expect(await Promise.all(responses.map((response) => response.text()))).toEqual(Array(10).fill('ab'));
    await stack.control.start(stack.envoy.grpcSocket);
  });

  it('F21: its loss while it decides sends the request, body and all, to a node last known', async () => {
    await healthy(1);
    const body = Buffer.alloc(3 << 20, '{"model":"m"} padding ');
    stack.control.answer = () => ({ kind: 'hang' });
    const pending = stack.post('/api/chat', body);
    await expect.poll(() => stack.control.open).toBe(1);
    stack.control.stop();
    expect((await pending).status).toBe(200);
    expect(
      stack.nodes.flatMap(({ received }) => received).map((request) => request.body.equals(body)),
    ).toEqual([true]);
    await stack.control.start(stack.envoy.grpcSocket);
  });

  it('F22: one that hangs costs a request its message timeout, no more', async () => {
    await healthy(1);
    stack.control.answer = () => ({ kind: 'hang' });
    const began = performance.now();
    expect((await stack.post('/api/chat', BODY)).status).toBe(200);
    expect(performance.now() - began).toBeGreaterThan(1_900);
    expect(performance.now() - began).toBeLessThan(2_600);
  });
});
