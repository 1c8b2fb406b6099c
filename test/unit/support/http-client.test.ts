import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { connectRaw, rawRequest, send } from '../../support/http-client.ts';

let server: Server | undefined;
const sockets = new Set<Socket>();
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server?.close(resolve));
});

/** Answers anything it receives with these bytes and then ends, or stays open. */
async function answering(bytes: string, ending: 'fin' | 'open' = 'fin'): Promise<string> {
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => (ending === 'fin' ? socket.end(bytes) : socket.write(bytes)));
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // a TCP server's address is an object
}

const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n';

describe('send', () => {
  it.each([
    { name: 'a terminated chunked body', bytes: `${CHUNKED}0\r\n\r\n`, isComplete: true },
    { name: 'a chunked body without its terminator', bytes: CHUNKED, isComplete: false },
    {
      name: 'a whole body by length',
      bytes: 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
      isComplete: true,
    },
    {
      name: 'a short body by length',
      bytes: 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello',
      isComplete: false,
    },
  ])('tells $name', async ({ bytes, isComplete }) => {
    const answer = await send(await answering(bytes));
    expect([answer.status, answer.text, answer.isComplete]).toEqual([200, 'hello', isComplete]);
    expect(answer.error === undefined).toBe(isComplete);
  });

  it('hangs up after so many bytes', async () => {
    const answer = await send(await answering(CHUNKED, 'open'), { hangUpAfterBytes: 5 });
    expect([answer.text, answer.isComplete]).toEqual(['hello', false]);
  });

  it('reads lines and events', async () => {
    const ndjson = await send(
      await answering('HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"a":1}\n{"a":2}\n'),
    );
    expect(ndjson.lines()).toEqual([{ a: 1 }, { a: 2 }]);
  });

  it('rejects when there is no answer', async () => {
    await expect(send(await answering(''))).rejects.toThrow();
  });
});

describe('a raw connection', () => {
  it('sends bytes as they are, and tells what came back and how it ended', async () => {
    const connection = await connectRaw(await answering('220 hello\r\n'));
    connection.write(rawRequest('POST', '/x', { host: 'a', headers: { 'X-A': '1' }, body: 'body' }));
    expect(await connection.waitFor(/hello/)).toBe('220 hello\r\n');
    expect(await connection.closed).toBe('fin');
  });

  it('says what it got instead of what was waited for', async () => {
    const connection = await connectRaw(await answering('no\r\n'));
    connection.write('x');
    await expect(connection.waitFor(/yes/)).rejects.toThrow(/no/);
  });

  it('writes a request with its length', () => {
    expect(rawRequest('POST', '/x', { host: 'a', body: 'é' })).toBe(
      'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\né',
    );
  });
});
