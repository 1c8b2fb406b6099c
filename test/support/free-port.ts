import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/** A port that nobody listens on now. Prefer port 0 where the program under test can tell which it got. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server's address is an object
  server.close();
  await once(server, 'close');
  return port;
}
