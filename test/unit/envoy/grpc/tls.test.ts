import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HealthService } from '../../../../src/envoy/grpc/health.ts';
import { Http2Listener } from '../../../../src/envoy/grpc/http2-listener.ts';
import { SelfSigned } from '../../../../src/envoy/grpc/self-signed.ts';
import {
  type GrpcServer,
  type GrpcServerOptions,
  type GrpcTls,
  startGrpcServer,
} from '../../../../src/envoy/grpc/server.ts';
import { methodsOf } from '../../../../src/envoy/grpc/service.ts';
import { Strangers } from '../../../../src/envoy/grpc/strangers.ts';
import { TlsFiles } from '../../../../src/envoy/grpc/tls-source.ts';
import { UnreadBudget } from '../../../../src/envoy/grpc/unread-budget.ts';
import { writeCertificate } from '../../../support/certificate.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { freePort } from '../../../support/free-port.ts';
import { MemoryLog, until } from './harness.ts';
import { HealthClient } from './health-client.ts';
import { FRAME, frame, PREFACE, RawPeer } from './raw-peer.ts';

const H2 = { ALPNProtocols: ['h2'], rejectUnauthorized: false };
let folder: string;
const open: { close(): unknown }[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'warmpath-tls-'));
  for (const name of ['one', 'two']) {
    const files = { key: join(folder, `${name}.key`), cert: join(folder, `${name}.pem`) };
    writeCertificate(files, { name, altName: 'IP:127.0.0.1' });
  }
});
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Started {
  readonly server: GrpcServer;
  readonly port: number;
  readonly clock: FakeClock;
  readonly log: MemoryLog;
  /** What was reported of connections, and where they came from. */
  readonly reported: string[];
}

async function start(tls: GrpcTls, more: Partial<GrpcServerOptions> = {}): Promise<Started> {
  const [clock, log] = [new FakeClock({ date: new Date() }), new MemoryLog()];
  const reported: string[] = [];
  const server = await startGrpcServer({
    bind: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    limits: { bodyBytes: 1024 * 1024 },
    services: [],
    tls,
    onStranger: (problem, peer) => reported.push(`${problem} ${peer}`),
    clock,
    log,
    ...more,
  });
  open.push(server);
  return { server, port: server.port ?? 0, clock, log, reported };
}

/** Which certificate a new connection is shown. */
async function subjectAt(port: number): Promise<string> {
  const peer = await RawPeer.openTls(port, H2);
  open.push(peer);
  return peer.subject();
}

function files(name: string): GrpcTls {
  const [cert, key] = [join(folder, `${name}-used.pem`), join(folder, `${name}-used.key`)];
  copyFileSync(join(folder, `${name}.pem`), cert);
  copyFileSync(join(folder, `${name}.key`), key);
  return { kind: 'files', cert, key };
}

describe('a certificate of our own making', () => {
  it('serves clients that take it as CA, over TLS 1.2 and later, and is kept', async () => {
    const kept = join(folder, 'kept');
    const { server, port } = await start({ kind: 'self-signed', folder: kept });
    const client = new HealthClient(
      server.address,
      credentials.createSsl(readFileSync(join(kept, 'cert.pem'))),
    );
    open.push(client);
    expect(await client.check('liveness')).toBe('SERVING');
    expect(statSync(join(kept, 'key.pem')).mode & 0o777).toBe(0o600);
    expect(statSync(kept).mode & 0o777).toBe(0o700);

    const old = {
      ...H2,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT:@SECLEVEL=0',
    } as const;
    const refused = await RawPeer.openTls(port, old);
    open.push(refused);
    await refused.closed;
    const taken = await RawPeer.openTls(port, { ...H2, maxVersion: 'TLSv1.2' });
    open.push(taken);
    expect(taken.isClosed).toBe(false);

    const again = await start({ kind: 'self-signed', folder: kept });
    const same = new HealthClient(
      again.server.address,
      credentials.createSsl(readFileSync(join(kept, 'cert.pem'))),
    );
    open.push(same);
    expect(await same.check('liveness')).toBe('SERVING');
  });

  it('names this machine, and the address where it listens', async () => {
    const { cert } = await new SelfSigned(join(folder, 'names'), '10.1.2.3', new FakeClock()).pair();
    const { subjectAltName = '', ca } = new X509Certificate(cert);
    expect(subjectAltName).toMatch(/DNS:localhost.*IP Address:127\.0\.0\.1.*IP Address:10\.1\.2\.3/);
    expect(ca).toBe(false);
  });

  it('is made anew a month before its end, and where its files were spoilt', async () => {
    const at = (date: string) =>
      new SelfSigned(join(folder, 'old'), '::', new FakeClock({ date: new Date(date) }));
    const first = await at('2026-01-01').pair();
    expect(await at('2026-11-01').pair()).toEqual(first);
    const second = await at('2026-12-15').pair();
    expect(second.cert).not.toBe(first.cert);
    expect(Date.parse(new X509Certificate(second.cert).validTo)).toBeGreaterThan(Date.parse('2027-12-01'));
    writeFileSync(join(folder, 'old', 'key.pem'), first.key);
    expect((await at('2026-12-16').pair()).cert).not.toBe(second.cert);
  });
});

describe('a certificate in files', () => {
  it('is replaced when they change; streams that run go on', async () => {
    const tls = files('one');
    const { server, port, clock, log } = await start(tls);
    const client = new HealthClient(
      server.address,
      credentials.createSsl(readFileSync(join(folder, 'one.pem'))),
    );
    open.push(client);
    const statuses: string[] = [];
    const ended: unknown[] = [];
    client.watch(
      'readiness',
      (status) => statuses.push(status),
      (error) => ended.push(error),
    );
    await until(() => statuses.length === 1);
    expect(await subjectAt(port)).toContain('CN=one');

    if (tls.kind !== 'files') throw new Error('not files');
    copyFileSync(join(folder, 'two.pem'), tls.cert);
    await clock.advance(10_000);
    await until(() => log.messages('warn').length === 1);
    expect(log.messages('warn')[0]).toMatch(/was not renewed, the old one stays: .*no private key/);
    expect(await subjectAt(port)).toContain('CN=one');

    copyFileSync(join(folder, 'two.key'), tls.key);
    await clock.advance(10_000);
    await until(() => log.messages('info').includes('gRPC uses the renewed certificate'));
    expect(await subjectAt(port)).toContain('CN=two');
    server.setReady(true);
    await until(() => statuses.length === 2);
    expect(ended).toEqual([]);
  });

  it('that is missing keeps the server from starting, and says which', async () => {
    const tls: GrpcTls = { kind: 'files', cert: join(folder, 'none.pem'), key: join(folder, 'one.key') };
    await expect(start(tls)).rejects.toThrow(/none\.pem cannot be read \(ENOENT\)/);
  });
});

it('S24: handshakes that never end make way for others', async () => {
  const [clock, log] = [new FakeClock(), new MemoryLog()];
  const pair = await new TlsFiles(join(folder, 'one.pem'), join(folder, 'one.key')).pair();
  const listener = new Http2Listener(methodsOf([new HealthService()]), {
    tls: pair,
    clock,
    strangers: new Strangers({ address: 'here', clock, log }),
    unread: new UnreadBudget(1024 * 1024),
    maxMessageBytes: 1024,
    onDefect: (error) => log.error({ err: error }, 'defect'),
    maxConnections: 3,
  });
  open.push({ close: () => listener.close() });
  const port = (await listener.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 })) ?? 0;
  const silent: RawPeer[] = [];
  for (let i = 0; i < 5; i++) silent.push(await RawPeer.open(port));
  open.push(...silent);
  await Promise.all([silent[0]?.closed, silent[1]?.closed]);
  const client = new HealthClient(
    `127.0.0.1:${port}`,
    credentials.createSsl(readFileSync(join(folder, 'one.pem'))),
  );
  open.push(client);
  expect(await client.check('liveness')).toBe('SERVING');
  // Its handshake was one too many as well, until it was over.
  expect(silent.map(({ isClosed }) => isClosed)).toEqual([true, true, true, false, false]);
});

describe('who speaks otherwise', () => {
  it.each([
    ['HTTP/2 in plaintext', Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0)])],
    ['HTTP/1.1 in plaintext', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ])('%s to a TLS port is reported each time, and told of in the log once a minute', async (_name, bytes) => {
    const { port, clock, log, reported } = await start(files('one'));
    const talk = async () => {
      const peer = await RawPeer.open(port);
      open.push(peer);
      await peer.write(bytes);
      await peer.closed;
    };
    for (let i = 0; i < 3; i++) await talk();
    expect(log.messages('warn')).toEqual([expect.stringMatching(/speaks plaintext .* wants TLS/)]);
    await clock.advance(60_000);
    await talk();
    expect(log.lines.at(-1)?.fields).toMatchObject({ problem: 'connection_plaintext', connections: 3 });
    expect(log.messages('warn')).toHaveLength(2);
    expect(reported).toEqual(Array.from({ length: 4 }, () => 'connection_plaintext 127.0.0.1'));
  });

  it('a gRPC client without TLS is one of them', async () => {
    const { server, reported } = await start(files('one'));
    const client = new HealthClient(server.address);
    open.push(client);
    expect(await client.check('')).toMatch(/^14 /);
    await until(() => reported.length > 0);
    expect(reported).toContain('connection_plaintext 127.0.0.1');
  });

  it.each([
    [
      'is recognised where first bytes are read',
      { anyAuthority: true },
      'connection_tls',
      /speaks TLS to .* plaintext/,
    ],
    ['is no HTTP/2 where they are not', {}, 'connection_not_http2', /if that is TLS, set extProc\.tls/],
  ])('TLS to a plaintext port %s', async (_name, more, problem, told) => {
    const { port, log, reported } = await start({ kind: 'off' }, more);
    const peer = await RawPeer.openTls(port, H2);
    open.push(peer);
    await peer.closed;
    await until(() => log.messages('warn').length === 1);
    expect(log.messages('warn')[0]).toMatch(told);
    expect(reported).toEqual([`${problem} 127.0.0.1`]);
  });

  it('a gRPC client with TLS to a plaintext port is recognised too', async () => {
    const { server, reported } = await start({ kind: 'off' }, { anyAuthority: true });
    const client = new HealthClient(server.address, credentials.createSsl());
    open.push(client);
    expect(await client.check('')).toMatch(/^14 /);
    // Its own end of the handshake may be over before ours.
    await until(() => reported.length > 0);
    expect(reported).toContain('connection_tls 127.0.0.1');
  });

  it.each([
    ['in plaintext', false],
    ['within TLS', true],
  ])('HTTP/1.1 %s is a lack of HTTP/2, and not of TLS', async (_name, encrypted) => {
    for (const anyAuthority of [false, true]) {
      const { port, log, reported } = await start(encrypted ? files('one') : { kind: 'off' }, {
        anyAuthority,
      });
      const peer = await (encrypted ? RawPeer.openTls(port, H2) : RawPeer.open(port));
      open.push(peer);
      await peer.write(Buffer.from('POST / HTTP/1.1\r\nhost: x\r\n\r\n'));
      await peer.closed;
      await until(() => log.messages('warn').length === 1);
      expect(log.messages('warn')[0]).toMatch(/something else than HTTP\/2 .*http2_protocol_options/);
      expect(reported).toEqual(['connection_not_http2 127.0.0.1']);
    }
  });

  it('TLS to the port of health, which has none, is told to be turned off there; ext_proc is as it should be', async () => {
    const port = await freePort();
    const { log, reported } = await start(files('one'), { health: { kind: 'tcp', host: '127.0.0.1', port } });
    const peer = await RawPeer.openTls(port, H2);
    open.push(peer);
    await peer.closed;
    await until(() => log.messages('warn').length === 1);
    expect(log.messages('warn')[0]).toMatch(/address of gRPC health; if that is TLS, turn it off/);
    expect(reported).toEqual([]);
  });

  it.each([false, true])('TLS without HTTP/2 is told of (any authority: %s)', async (anyAuthority) => {
    const { port, log, reported } = await start(files('one'), { anyAuthority });
    for (const ALPNProtocols of [['http/1.1'], undefined]) {
      const peer = await RawPeer.openTls(port, {
        rejectUnauthorized: false,
        ...(ALPNProtocols && { ALPNProtocols }),
      });
      open.push(peer);
      await peer.closed;
    }
    expect(log.messages('warn')).toEqual([expect.stringMatching(/not HTTP\/2 within it.*alpn_protocols/)]);
    expect(reported).toEqual(['connection_without_alpn 127.0.0.1', 'connection_without_alpn 127.0.0.1']);
  });

  it('a client that does not trust us is told of', async () => {
    const { port, log, reported } = await start(files('one'));
    const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-alpn', 'h2', '-verify_return_error'];
    const client = spawn('openssl', args, { stdio: ['pipe', 'ignore', 'ignore'] });
    await once(client, 'close');
    await until(() => log.messages('warn').length === 1);
    expect(log.messages('warn')[0]).toMatch(/does not trust the certificate/);
    expect(reported).toEqual(['connection_certificate_refused 127.0.0.1']);
  });

  it('a handshake that fails otherwise is told of, with the reason', async () => {
    const { port, log, reported } = await start(files('one'));
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
    const peer = await RawPeer.openTls(port, { ...H2, ...old });
    open.push(peer);
    await peer.closed;
    await until(() => log.messages('warn').length === 1);
    expect(log.lines[0]).toMatchObject({
      message: expect.stringContaining('TLS 1.2 or later'),
      fields: { problem: 'connection_handshake_failed', reason: expect.stringContaining('PROTOCOL') },
    });
    expect(reported).toEqual(['connection_handshake_failed 127.0.0.1']);
  });

  it.each([
    ['plaintext', false],
    ['TLS', true],
  ])('a probe that connects to %s and hangs up is not worth a line', async (_name, encrypted) => {
    const tls = encrypted ? files('one') : ({ kind: 'off' } as const);
    const { server, port, log, reported } = await start(tls, { anyAuthority: true });
    const peer = await RawPeer.open(port);
    peer.close();
    await peer.closed;
    // Others are served after it: so the look at the probe is over.
    const trusted = encrypted ? credentials.createSsl(readFileSync(join(folder, 'one.pem'))) : undefined;
    const client = new HealthClient(server.address, trusted);
    open.push(client);
    expect(await client.check('liveness')).toBe('SERVING');
    expect([log.lines, reported]).toEqual([[], []]);
  });

  it('a handshake of which nothing comes in time is not either: whoever says nothing does not speak otherwise', () => {
    const [clock, log] = [new FakeClock(), new MemoryLog()];
    const error = Object.assign(new Error('TLS handshake timeout'), { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' });
    new Strangers({ address: 'here', clock, log }).handshakeFailed(error, undefined);
    expect(log.lines).toEqual([]);
  });
});
