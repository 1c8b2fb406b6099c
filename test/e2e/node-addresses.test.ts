import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { writeCertificate } from '../support/certificate.ts';
import { realEnvoy } from '../support/envoy.ts';
import { post } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { type TempDir, tempDir } from '../support/temp-dir.ts';
import { waitFor } from '../support/wait-for.ts';
import { type RunningWarmpath, startWarmpath } from '../support/warmpath.ts';

describeReal(await realEnvoy(), 'nodes that are configured', () => {
  let dir: TempDir;
  let fleet: SimulatedFleet;
  let warmpath: RunningWarmpath;
  const doors: Server[] = [];
  const sockets = new Set<Socket>();

  /** Whatever comes here goes on to the node. */
  async function door(server: Server, host: string, to: string): Promise<number> {
    doors.push(server.listen(0, host));
    await once(server, 'listening');
    const { port } = new URL(to);
    server.on('goOn', (socket: Socket) => {
      const beyond = connect(Number(port), '127.0.0.1');
      for (const one of [socket, beyond]) sockets.add(one.on('error', () => one.destroy()));
      socket.pipe(beyond).pipe(socket);
    });
    return (server.address() as AddressInfo).port; // sound: it listens on TCP
  }

  beforeAll(async () => {
    dir = tempDir();
    fleet = await startFleet(4, { models: [] }, (index) => ({
      models: [{ name: `only-${index + 1}`, sizeBytes: 1e6 }],
    }));
    const [key, cert, other] = ['key', 'cert', 'other'].map((name) => join(dir.path, `${name}.pem`)) as [
      string,
      string,
      string,
    ];
    writeCertificate({ key, cert: other }, { name: 'localhost', altName: 'DNS:localhost' });
    writeCertificate({ key, cert }, { name: 'localhost', altName: 'DNS:localhost,IP:127.0.0.1' });
    const [n1, n2, n3, n4] = fleet.specs.map(({ url }) => url) as [string, string, string, string];
    const tls = () => {
      const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) =>
        server.emit('goOn', socket),
      );
      return server;
    };
    const plain = createServer((socket) => plain.emit('goOn', socket));
    const nodes = [
      { name: 'behind-tls', url: `https://localhost:${await door(tls(), '127.0.0.1', n1)}`, tlsCa: cert },
      { name: 'tls-by-address', url: `https://127.0.0.1:${await door(tls(), '127.0.0.1', n4)}`, tlsCa: cert },
      { name: 'on-ipv6', url: `http://[::1]:${await door(plain, '::1', n2)}` },
      { name: 'not-trusted', url: `https://localhost:${await door(tls(), '127.0.0.1', n3)}`, tlsCa: other },
    ];
    warmpath = await startWarmpath({ nodes: [], config: { nodes }, waitForNodes: false });
    await warmpath.waitForNodes(['behind-tls', 'tls-by-address', 'on-ipv6']);
    await warmpath.waitUntilRouting();
  });
  afterAll(async () => {
    await warmpath?.stop();
    for (const socket of sockets) socket.destroy();
    for (const server of doors) server.close();
    await fleet?.close();
    dir?.remove();
  });

  const generate = (model: string) =>
    post(`${warmpath.url}/api/generate`, { model, prompt: 'hi', stream: false, options: { num_predict: 2 } });

  it.each([
    { how: 'by https with their own CA', model: 'only-1', node: 'behind-tls' },
    { how: 'by https and an address', model: 'only-4', node: 'tls-by-address' },
    { how: 'by an IPv6 address', model: 'only-2', node: 'on-ipv6' },
  ])('$how are polled and served from', async ({ model, node }) => {
    const answer = await generate(model);
    expect([answer.status, answer.headers['x-warmpath-node']], answer.text).toEqual([200, node]);
    expect(answer.json()).toMatchObject({ done: true });
  });

  it('with a CA that did not sign for them are not believed, and say why', async () => {
    const failed = await waitFor('the poll to fail', async () => {
      const { nodes } = await warmpath.status();
      return nodes.find(({ name }) => name === 'not-trusted')?.lastFailure ?? undefined;
    });
    expect(failed.detail).toMatch(/certificate|self.signed|verify/i);
    // Tried or not, as long as nobody knows what it has: Envoy does not believe it either.
    expect([404, 503]).toContain((await generate('only-3')).status);
    expect(fleet.node('n3').requests).toEqual([]);
  });
});
