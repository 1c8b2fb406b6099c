import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dataPlane } from './dataplane/envoy-binary.ts';
import { Stack } from './dataplane/stack.ts';

const fixture = (name: string) => fileURLToPath(new URL(`./dataplane/tls/${name}`, import.meta.url));

dataPlane('nodes behind TLS', () => {
  let stack: Stack;
  let port: number;
  const seen: { host: string | undefined; authorization: string | undefined; name: unknown }[] = [];
  const server = createServer(
    { cert: readFileSync(fixture('node.pem')), key: readFileSync(fixture('node.key')) },
    (request, response) => {
      const { host, authorization } = request.headers;
      seen.push({ host, authorization, name: Reflect.get(request.socket, 'servername') });
      response.end('{"tls":true}');
    },
  );
  beforeAll(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ({ port } = server.address() as AddressInfo); // a TCP server's address is never a string
    const tls = { name: 'node-tls', port, tls: 'tls-test', token: 'secret' };
    stack = await Stack.start({
      extra: [tls, { ...tls, name: 'misnamed', host: '127.0.0.2', hostname: 'other.test' }],
      overrides: { tls: [{ name: 'tls-test', caFile: fixture('ca.pem') }] },
    });
  });
  afterAll(async () => {
    await stack?.stop();
    server.close();
  });

  it('are asked by their own name, with their own token', async () => {
    stack.control.answer = () => ({ kind: 'route', addresses: [`127.0.0.1:${port}`] });
    const response = await stack.post('/api/chat', '{}');
    expect([response.status, response.headers.get('x-warmpath-node')]).toEqual([200, 'node-tls']);
    expect(seen).toEqual([{ host: 'node-tls.test', authorization: 'Bearer secret', name: 'node-tls.test' }]);
  });

  it('share a list with plain ones', async () => {
    stack.node().script = (_request, response) => response.socket?.destroy();
    stack.control.answer = () => ({ kind: 'route', addresses: [stack.node().address, `127.0.0.1:${port}`] });
    const response = await stack.post('/api/chat', '{}');
    expect([response.status, await response.text()]).toEqual([200, '{"tls":true}']);
  });

  it('are refused where the certificate names another', async () => {
    seen.length = 0;
    stack.control.answer = () => ({ kind: 'route', addresses: [`127.0.0.2:${port}`] });
    expect((await stack.post('/api/chat', '{}')).status).toBe(503);
    expect(seen).toEqual([]);
    const failed = await stack.control.entry(({ log, port: tried }) => log === 'attempts' && tried === port);
    expect(failed.flags).toContain('upstream_connection_failure');
  });
});
