import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FaultProxy, startFaultProxy } from '../../support/fault-proxy.ts';
import { connectRaw, rawRequest, send } from '../../support/http-client.ts';

const BODY = 'x'.repeat(10_000);
let server: Server;
let proxy: FaultProxy;

beforeEach(async () => {
  server = createServer((_request, response) => {
    response.setHeader('Connection', 'close').end(BODY);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // a TCP server's address is an object
  proxy = await startFaultProxy(`http://127.0.0.1:${port}`);
});
afterEach(async () => {
  await proxy.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

describe('the fault proxy', () => {
  it('changes nothing unless told to', async () => {
    const answer = await send(proxy.url);
    expect([answer.text, answer.isComplete, proxy.accepted]).toEqual([BODY, true, 1]);
  });

  it('delays what passes', async () => {
    proxy.fault = { latencyMs: 60 };
    expect((await send(proxy.url)).firstByteMs).toBeGreaterThan(110);
  });

  it('keeps to a byte rate', async () => {
    proxy.fault = { bytesPerSecond: 50_000 };
    const answer = await send(proxy.url);
    expect(answer.text).toBe(BODY);
    expect(answer.totalMs).toBeGreaterThan(180);
  });

  it.each(['rst', 'fin'] as const)('breaks by %s after exactly so many bytes', async (breakBy) => {
    proxy.fault = { breakAfterBytes: 1_000, breakBy };
    const connection = await connectRaw(proxy.url);
    connection.write(rawRequest('GET', '/'));
    expect(await connection.closed).toBe(breakBy === 'rst' ? 'reset' : 'fin');
    expect(connection.received).toHaveLength(1_000);
    expect((await send(proxy.url)).isComplete).toBe(false);
  });

  it('stalls, open and silent', async () => {
    proxy.fault = { breakAfterBytes: 1_000, breakBy: 'stall' };
    const connection = await connectRaw(proxy.url);
    connection.write(rawRequest('GET', '/'));
    await connection.waitFor(/x{100}/);
    const ended = await Promise.race([
      connection.closed.then(() => true),
      new Promise((resolve) => setTimeout(() => resolve(false), 150)),
    ]);
    expect([ended, connection.received.length]).toEqual([false, 1_000]);
    connection.reset();
  });

  it('resets as soon as something is sent', async () => {
    proxy.fault = { breakAfterBytes: 0 };
    const connection = await connectRaw(proxy.url);
    connection.write('x');
    expect([await connection.closed, connection.received]).toEqual(['reset', '']);
  });

  it('answers garbage', async () => {
    proxy.fault = { garbage: 'SSH-2.0-OpenSSH\r\n' };
    const connection = await connectRaw(proxy.url);
    connection.write(rawRequest('GET', '/'));
    await connection.closed;
    expect(connection.received).toBe('SSH-2.0-OpenSSH\r\n');
  });

  it('refuses, lets connects hang, and comes back on its port', async () => {
    proxy.refuse();
    await expect(connectRaw(proxy.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await proxy.neverAccept();
    const attempt = connectRaw(proxy.url);
    const outcome = await Promise.race([
      attempt.then(
        () => 'connected',
        () => 'failed',
      ),
      new Promise((resolve) => setTimeout(() => resolve('hangs'), 200)),
    ]);
    expect(outcome).toBe('hangs');
    attempt.then(
      (connection) => connection.reset(),
      () => {},
    );
    await proxy.open();
    expect((await send(proxy.url)).text).toBe(BODY);
  });
});
