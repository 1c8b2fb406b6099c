import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createAgentServer, readAgentTls } from '../../../src/api/agent-server.ts';
import type { AgentRequest } from '../../../src/app/agents/agent-intake.ts';
import {
  AGENT_HEADERS,
  AGENT_PATHS,
  generateAgentKey,
  MAX_AGENT_BODY_BYTES,
} from '../../../src/app/agents/agent-protocol.ts';
import { writeCertificate } from '../../support/certificate.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';
import { AgentBench, NAME, TOKEN } from '../app/agents/bench.ts';

const key = generateAgentKey();
const LOCAL = 'http://127.0.0.1:11999';
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0)) await clean();
});

interface Reply {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

async function serving(allowLoopback = true, maxConnections = 64) {
  const clock = new FakeClock({ date: new Date('2026-05-01T00:00:00Z') });
  const bench = new AgentBench({ clock, allowLoopback });
  const errors: unknown[] = [];
  const server = createAgentServer({
    intake: bench.intake,
    tls: undefined,
    maxConnections,
    onError: (error) => errors.push(error),
  });
  await server.listen({ host: '127.0.0.1', port: 0 });
  cleanups.push(() => server.close());
  const address = server.server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  return { bench, port, errors };
}

/** The request as an agent would send it. */
function send(
  port: number,
  request: AgentRequest,
  headers: Record<string, string> = {},
  localAddress = '127.0.0.1',
): Promise<Reply> {
  return post(
    port,
    AGENT_PATHS[request.kind],
    request.body,
    {
      'content-type': 'application/json',
      [AGENT_HEADERS.node]: request.node,
      [AGENT_HEADERS.time]: request.time,
      [AGENT_HEADERS.nonce]: request.nonce,
      [AGENT_HEADERS.signature]: request.signature,
      ...headers,
    },
    'POST',
    localAddress,
  );
}

function post(
  port: number,
  path: string,
  body: Uint8Array,
  headers: Record<string, string> = {},
  method = 'POST',
  localAddress = '127.0.0.1',
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      { host: '127.0.0.1', port, path, method, headers, localAddress, agent: false },
      (incoming) => {
        let text = '';
        incoming.setEncoding('utf8');
        incoming.on('data', (chunk: string) => {
          text += chunk;
        });
        incoming.on('end', () =>
          resolve({
            status: incoming.statusCode ?? 0,
            body: text === '' ? undefined : JSON.parse(text),
            headers: incoming.headers,
          }),
        );
        incoming.on('error', reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
    });
    socket.on('error', () => resolve(answer));
    socket.on('close', () => resolve(answer));
  });
}

describe('the interface for agents', () => {
  it('lets an agent join and report', async () => {
    const { bench, port } = await serving();
    const joined = await send(port, bench.join(key, { url: LOCAL }));
    expect(joined).toMatchObject({ status: 200, body: { node: NAME, state: 'member' } });
    const reported = await send(port, bench.report(key, { url: LOCAL }));
    expect(reported.status).toBe(200);
    expect(bench.observations).toHaveLength(1);
  });

  it('takes the body as bytes, whatever type it is said to have', async () => {
    const { bench, port } = await serving();
    await bench.send(bench.join(key, { url: LOCAL }, { sender: '127.0.0.1' }));
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/octet-stream']) {
      const reply = await send(port, bench.report(key, { url: LOCAL }), { 'content-type': type });
      expect(reply.status).toBe(200);
    }
  });

  it('names loopback only where that is allowed (S18)', async () => {
    const { bench, port } = await serving(false);
    const reply = await send(port, bench.join(key, { url: LOCAL }));
    expect(reply).toMatchObject({ status: 403, body: { code: 'refused_address' } });
    expect(JSON.stringify(reply.body)).toContain('agents.allowLoopback');
  });

  it.each([
    ['http://169.254.169.254/'],
    ['http://[::ffff:169.254.169.254]'],
    ['http://10.0.0.1@evil'],
    ['http://a\r\nb'],
    ['file:///etc/passwd'],
    ['gopher://127.0.0.1:6379'],
    ['http://0x7f000001'],
    ['http://017700000001'],
    ['http://0.0.0.0'],
    ['http://127.0.0.1:9411'],
  ])('refuses a node at %j, with the token and all (S18)', async (url) => {
    const { bench, port } = await serving();
    const reply = await send(port, bench.join(key, { url }));
    expect(reply).toMatchObject({ status: 403, body: { code: 'refused_address' } });
    expect(bench.registry.nodes.size).toBe(0);
  });

  it('believes no header about who sends (S19)', async () => {
    const { bench, port } = await serving();
    const spoof = {
      'x-forwarded-for': '203.0.113.9',
      'x-real-ip': '203.0.113.9',
      forwarded: 'for=203.0.113.9',
    };
    const reply = await send(port, bench.join(key, { url: 'http://203.0.113.9:11434' }), spoof);
    expect(reply).toMatchObject({ status: 403, body: { code: 'refused_address' } });
  });

  it('refuses A for B, a replay, another token, another key and what is unsigned (S19, S20)', async () => {
    const { bench, port } = await serving();
    const evil = generateAgentKey();
    expect((await send(port, bench.join(key, { url: LOCAL }))).status).toBe(200);
    expect((await send(port, bench.join(evil, { url: LOCAL, node: 'gpu2' }))).status).toBe(200);
    const good = bench.report(key, { url: LOCAL });
    const attempts: [string, AgentRequest, number, string][] = [
      ['gpu2 signs for gpu1', bench.report(evil, { url: LOCAL }), 401, 'bad_signature'],
      [
        'gpu2 speaks of gpu1',
        bench.report(evil, { url: LOCAL, node: NAME }, { node: 'gpu2' }),
        403,
        'not_your_node',
      ],
      ['another key takes the name', bench.join(evil, { url: LOCAL }), 409, 'name_taken'],
      [
        'a guessed token',
        bench.join(evil, { url: LOCAL, node: 'n3' }, {}, 'a-guessed-join-token'),
        401,
        'bad_signature',
      ],
      ['no signature', { ...good, signature: '' }, 400, 'malformed'],
      [
        'yesterday',
        bench.report(key, {}, { time: String(bench.clock.date().getTime() - 86_400_000) }),
        401,
        'stale',
      ],
      ['an unknown node', bench.report(evil, { node: 'gpu9' }), 401, 'join_required'],
    ];
    for (const [what, request, status, code] of attempts) {
      expect(await send(port, request), what).toMatchObject({ status, body: { code } });
    }
    expect(bench.observations).toEqual([]);
    expect((await send(port, good)).status).toBe(200);
    expect(await send(port, good)).toMatchObject({ status: 401, body: { code: 'replayed' } });
    expect(bench.observations).toHaveLength(1);
  });

  it('refuses what is too large before it is read, and goes on', async () => {
    const { bench, port } = await serving();
    const request = { ...bench.report(key), body: Buffer.alloc(MAX_AGENT_BODY_BYTES + 1, 0x20) };
    const reply = await send(port, request);
    expect(reply).toMatchObject({ status: 413, body: { code: 'too_large' } });
    const announced = await raw(
      port,
      `POST ${AGENT_PATHS.report} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000000000000\r\n\r\n`,
    );
    expect(announced).toMatch(/^HTTP\/1\.1 413 /);
    expect((await send(port, bench.join(key, { url: LOCAL }))).status).toBe(200);
  });

  it.each([
    ['GET', AGENT_PATHS.join, 404],
    ['POST', '/', 404],
    ['POST', '/agent/v1/join/', 404],
    ['POST', '/agent/v1/joins', 404],
    ['POST', '/AGENT/V1/JOIN', 404],
    ['POST', '/agent/v1/%6aoin', 400],
    ['PUT', AGENT_PATHS.report, 404],
    ['GET', '/status', 404],
    ['GET', '/metrics', 404],
  ])('%s %s is answered %i and nothing else', async (method, path, status) => {
    const { port } = await serving();
    const reply = await post(port, path, Buffer.alloc(0), {}, method);
    expect(reply.status).toBe(status);
    expect(reply.headers.server).toBeUndefined();
  });

  it('answers 429 with when to try again, and closes, once an address has failed too often', async () => {
    const { bench, port } = await serving();
    await bench.send(bench.join(key, { url: LOCAL }, { sender: '127.0.0.1' }));
    const evil = generateAgentKey();
    const statuses: number[] = [];
    for (let i = 0; i < 31; i++) statuses.push((await send(port, bench.report(evil))).status);
    expect(statuses.slice(0, 30).every((status) => status === 401)).toBe(true);
    const last = await send(port, bench.report(evil));
    expect(last).toMatchObject({ status: 429, body: { code: 'too_many' } });
    expect(last.headers).toMatchObject({ 'retry-after': '5', connection: 'close' });
  });

  it.each([
    ['two lengths', 'content-length: 4\r\ncontent-length: 9\r\n\r\n{}'],
    ['a length and chunks', 'content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a header without end', `x: ${'a'.repeat(20_000)}\r\n\r\n`],
    ['bytes that are no HTTP', '\u0000\u0001\u0002\r\n\r\n'],
  ])('ends a connection with %s', async (_what, rest) => {
    const { port, errors, bench } = await serving();
    expect(await raw(port, `POST ${AGENT_PATHS.join} HTTP/1.1\r\nhost: x\r\n${rest}`)).toMatch(
      /^HTTP\/1\.1 4\d\d /,
    );
    expect(errors).toEqual([]);
    expect((await send(port, bench.join(key, { url: LOCAL }))).status).toBe(200);
  });

  it('has room for others when one address opens all the connections that it can', async () => {
    const { bench, port } = await serving(true, 8);
    let refused = 0;
    const sockets = Array.from({ length: 12 }, () => {
      const socket = connect(port, '127.0.0.1');
      return socket
        .on('error', () => {})
        .on('close', () => {
          refused += 1;
        });
    });
    cleanups.push(async () => {
      for (const socket of sockets) socket.destroy();
    });
    await waitFor('the refusals', () => refused === 8, { intervalMs: 5 });
    const request = bench.join(key, { url: LOCAL });
    expect((await send(port, request, {}, '127.0.0.2')).status).toBe(200);
  });

  it('keeps the connections of agents that are who they say, and of nobody else', async () => {
    const { bench, port } = await serving();
    const good = await send(port, bench.join(key, { url: LOCAL }), { connection: 'keep-alive' });
    expect(good.headers.connection).toBe('keep-alive');
    const bad = await send(port, bench.report(generateAgentKey()), { connection: 'keep-alive' });
    expect(bad.headers.connection).toBe('close');
    const lost = await post(port, '/', Buffer.alloc(0), { connection: 'keep-alive' });
    expect(lost.headers.connection).toBe('close');
  });

  it('answers hold neither the token nor what was sent', async () => {
    const { bench, port } = await serving();
    const replies = [
      await send(port, bench.join(key, { url: LOCAL })),
      await send(port, bench.join(key, { url: LOCAL, labels: { x: 'mark-4711\u0007' } })),
      await send(port, bench.rawReport(key, Buffer.from('{"mark-4711": "mark-4711"}'))),
    ];
    expect(replies.map(({ status }) => status)).toEqual([200, 422, 422]);
    const said = JSON.stringify([replies, bench.log.lines]);
    for (const secret of [TOKEN, key.publicKey, 'mark-4711']) expect(said).not.toContain(secret);
  });
});

it('is served over TLS where a certificate is configured, and to nobody in the clear', async () => {
  const dir = tempDir();
  cleanups.push(async () => dir.remove());
  const [tlsKey, tlsCert] = [`${dir.path}/key.pem`, `${dir.path}/cert.pem`];
  writeCertificate({ key: tlsKey, cert: tlsCert }, { name: 'localhost', altName: 'IP:127.0.0.1' });
  const bench = new AgentBench({ clock: new FakeClock(), allowLoopback: true });
  const server = createAgentServer({
    intake: bench.intake,
    tls: await readAgentTls({ tlsCert, tlsKey }),
    maxConnections: 16,
    onError: () => {},
  });
  await server.listen({ host: '127.0.0.1', port: 0 });
  cleanups.push(() => server.close());
  const address = server.server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const { node, time, nonce, signature, body } = bench.join(key, { url: LOCAL });
  const status = await new Promise((resolve, reject) => {
    const ca = readFileSync(tlsCert, 'utf8');
    const outgoing = httpsRequest(
      { host: '127.0.0.1', port, path: AGENT_PATHS.join, method: 'POST', ca, agent: false },
      (incoming) => {
        incoming.resume();
        resolve(incoming.statusCode);
      },
    );
    outgoing.setHeader(AGENT_HEADERS.node, node);
    outgoing.setHeader(AGENT_HEADERS.time, time);
    outgoing.setHeader(AGENT_HEADERS.nonce, nonce);
    outgoing.setHeader(AGENT_HEADERS.signature, signature);
    outgoing.on('error', reject);
    outgoing.end(body);
  });
  expect(status).toBe(200);
  expect(await raw(port, `POST ${AGENT_PATHS.join} HTTP/1.1\r\nhost: x\r\n\r\n`)).not.toContain('HTTP/1.1 2');
});
