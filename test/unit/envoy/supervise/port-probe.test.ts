import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { requireFreePort } from '../../../../src/envoy/supervise/port-probe.ts';

const server = createServer((_request, response) => response.end(answer));
let answer = '';
afterEach(() => {
  server.close();
  server.closeAllConnections();
});

const listen = async (): Promise<number> => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  return port;
};

it('says what holds the port, and what to do', async () => {
  const port = await listen();
  await expect(requireFreePort({ host: '127.0.0.1', port })).rejects.toThrow(
    `port ${port} is taken (is Ollama itself running here?): stop what listens there, or use --listen 127.0.0.1:${port + 1}`,
  );
});

it('knows Ollama when it meets it', async () => {
  answer = 'Ollama is running';
  const port = await listen();
  await expect(requireFreePort({ host: '127.0.0.1', port })).rejects.toThrow(
    `port ${port} is taken by Ollama itself: stop it, or`,
  );
});

it('leaves a free port free', async () => {
  const port = await listen();
  server.close();
  await once(server, 'close');
  await requireFreePort({ host: '127.0.0.1', port });
  await requireFreePort({ host: '127.0.0.1', port });
});

it('names an address that is not ours', async () => {
  await expect(requireFreePort({ host: '192.0.2.1', port: 0 })).rejects.toThrow(
    '192.0.2.1 is not an address of this machine',
  );
});
