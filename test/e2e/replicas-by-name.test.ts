import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { systemClock } from '../../src/app/system-clock.ts';
import { renderBootstrap } from '../../src/envoy/bootstrap/render.ts';
import { ensureLastKnown } from '../../src/envoy/endpoints/ensure-last-known.ts';
import { type GrpcServer, startGrpcServer } from '../../src/envoy/grpc/server.ts';
import { ProcessorService } from '../../src/envoy/processor/service.ts';
import { realEnvoy } from '../support/envoy.ts';
import { freePort } from '../support/free-port.ts';
import { send } from '../support/http-client.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { describeReal } from '../support/require-real.ts';
import { type SpawnedProcess, spawnProcess } from '../support/spawn-process.ts';
import { type TempDir, tempDir } from '../support/temp-dir.ts';
import { waitFor } from '../support/wait-for.ts';
import { bootstrapOptions } from '../unit/envoy/bootstrap/options.ts';
import { CountingTelemetry } from '../unit/envoy/grpc/harness.ts';
import { FakeReads, FakeRouter } from '../unit/envoy/processor/fakes.ts';

const NAME = 'warmpath-headless.test.svc';
const HOSTS = ['127.0.0.2', '127.0.0.3'];
const envoy = await realEnvoy();

describeReal(envoy, 'other control planes behind one name', () => {
  const routers = HOSTS.map(() => new FakeRouter());
  const servers: GrpcServer[] = [];
  let dns: Socket;
  let dir: TempDir;
  let file: string;
  let listen: number;
  let admin: number;
  let running: SpawnedProcess | undefined;

  beforeAll(async () => {
    dir = tempDir();
    dns = await nameServer(HOSTS);
    listen = await freePort();
    admin = await freePort();
    const port = await freePort('127.0.0.2');
    for (const [i, host] of HOSTS.entries()) servers.push(await controlPlane(host, port, routers[i]));
    const nobody = await freePort();
    const lastKnownFile = join(dir.path, 'nodes', 'last-known.json');
    await ensureLastKnown(lastKnownFile);
    const options = bootstrapOptions({
      listen: { host: '127.0.0.1', port: listen },
      grpc: { kind: 'tcp', host: '127.0.0.1', port: nobody },
      replicas: [{ kind: 'tcp', host: NAME, port }],
      admin: { kind: 'tcp', host: '127.0.0.1', port: admin },
      lastKnownFile,
    });
    file = join(dir.path, 'envoy.yaml');
    writeFileSync(file, stringify({ ...parse(renderBootstrap(options)), ...askedHere(dns) }));
  });
  afterAll(async () => {
    await running?.stop();
    for (const server of servers) await server.close();
    dns.close();
    dir.remove();
  });

  it('Envoy takes the configuration', async () => {
    const child = spawnProcess(envoy.path ?? '', ['--mode', 'validate', '-c', file, '-l', 'error']);
    expect(await child.exited, child.output).toMatchObject({ code: 0 });
  });

  it('are each known by their address, and one of them goes on when the other is gone', async () => {
    running = spawnProcess(envoy.path ?? '', [
      '-c',
      file,
      '-l',
      'error',
      '--concurrency',
      '1',
      '--use-dynamic-base-id',
    ]);
    await waitFor('Envoy to find both', async () => {
      const { text } = await send(`http://127.0.0.1:${admin}/clusters`);
      const isHealthy = (host: string): boolean =>
        new RegExp(`^warmpath::${host.replaceAll('.', '\\.')}:\\d+::health_flags::healthy$`, 'm').test(text);
      return HOSTS.every(isHealthy);
    });
    const routed = (): number[] => routers.map((router) => router.routed.length);
    await waitFor('requests to reach both', async () => {
      await ask(listen);
      return routed().every((count) => count > 0);
    });
    await servers[0]?.close();
    const [gone = 0, left = 0] = routed();
    await waitFor('the other to be asked', async () => {
      await ask(listen);
      return (routed()[1] ?? 0) >= left + 3;
    });
    expect(routed()[0]).toBe(gone);
  });
});

async function ask(port: number): Promise<void> {
  const body = '{"model":"llama3","stream":false,"messages":[]}';
  const headers = { 'content-type': 'application/json' };
  await send(`http://127.0.0.1:${port}/api/chat`, { method: 'POST', headers, body });
}

async function controlPlane(host: string, port: number, router = new FakeRouter()): Promise<GrpcServer> {
  const log = new MemoryLog();
  const processor = new ProcessorService({
    router,
    reads: new FakeReads(),
    telemetry: new CountingTelemetry(),
    clock: systemClock,
    log,
  });
  const server = await startGrpcServer({
    bind: { kind: 'tcp', host, port },
    limits: { bodyBytes: 1024 * 1024 },
    services: [processor],
    clock: systemClock,
    log,
  });
  server.setReady(true);
  return server;
}

/** Answers every question for IPv4 addresses with these. */
async function nameServer(addresses: readonly string[]): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.on('message', (query, peer) => {
    const end = query.indexOf(0, 12) + 5;
    const isA = query.readUInt16BE(end - 4) === 1;
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(0x8580, 2);
    head.writeUInt16BE(isA ? addresses.length : 0, 6);
    head.fill(0, 8);
    const answers = isA
      ? addresses.map((address) =>
          Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, ...address.split('.').map(Number)]),
        )
      : [];
    socket.send(Buffer.concat([head, query.subarray(12, end), ...answers]), peer.port, peer.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

/** Lets Envoy ask this name server only. */
function askedHere(dns: Socket): object {
  const at = { socket_address: { address: '127.0.0.1', port_value: dns.address().port, protocol: 'UDP' } };
  return {
    typed_dns_resolver_config: {
      name: 'envoy.network.dns_resolver.cares',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig',
        resolvers: [at],
        dns_resolver_options: { no_default_search_domain: true },
      },
    },
  };
}
