import { readFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { SystemClock } from '../../../src/app/system-clock.ts';
import type { NodeSpec } from '../../../src/fleet/types.ts';
import { OllamaClient } from '../../../src/nodes/ollama-client.ts';
import { PollError } from '../../../src/nodes/poll-error.ts';
import { writeCertificate } from '../../support/certificate.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { alpha, nodeSpec, rawNode, type ScriptedNode, scriptedNode } from './scripted-node.ts';

const signal = new AbortController().signal;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const limits = { connectTimeoutMs: 300, timeoutMs: 400, maxBodyBytes: 64 * 1024, clock: new SystemClock() };

function clientFor(spec: NodeSpec, ip = '127.0.0.1', fields: Partial<typeof limits> = {}): OllamaClient {
  const client = new OllamaClient(spec, ip, { ...limits, ...fields });
  cleanups.push(() => client.close());
  return client;
}

async function serving(handler: RequestListener): Promise<{ node: ScriptedNode; client: OllamaClient }> {
  const node = await scriptedNode(handler);
  cleanups.push(() => node.close());
  return { node, client: clientFor(nodeSpec(node.port)) };
}

function json(value: unknown): RequestListener {
  return (_request, response) => {
    response.setHeader('content-type', 'application/json; charset=utf-8');
    response.end(JSON.stringify(value));
  };
}

async function failure(work: Promise<unknown>): Promise<{ reason: string; detail: string }> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof PollError)) throw new Error(`expected a PollError, got ${String(error)}`);
  return { reason: error.reason, detail: error.detail };
}

describe('a node that answers', () => {
  it('is asked over one connection that stays open', async () => {
    const { node, client } = await serving((request, response) =>
      json(request.url === '/api/version' ? { version: '0.24.0' } : { models: [alpha] })(request, response),
    );
    const resident = await client.resident(signal);
    expect(resident.value.map(({ key }) => key)).toEqual(['alpha:latest']);
    expect(resident.rttMs).toBeGreaterThan(0);
    expect((await client.tags(signal)).value).toHaveLength(1);
    expect((await client.version(signal)).value).toBe('0.24.0');
    expect(node.requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'GET /api/ps',
      'GET /api/tags',
      'GET /api/version',
    ]);
    expect(node.connections()).toBe(1);
  });

  it.each([
    ['Thu, 01 Jan 1970 00:01:40 GMT', 100],
    ['1970-01-01T00:01:40Z', undefined],
    ['Thu, 99 Xyz 1970 00:01:40 GMT', undefined],
  ])('tells its own time by the header %j', async (date, want) => {
    const { client } = await serving((request, response) => {
      response.setHeader('date', date);
      json({ models: [] })(request, response);
    });
    expect((await client.resident(signal)).nodeTime).toBe(want);
  });

  it('hands the same objects out while its answer stays the same', async () => {
    let models = [alpha];
    const { client } = await serving((request, response) => json({ models })(request, response));
    const first = await client.resident(signal);
    expect((await client.resident(signal)).value).toBe(first.value);
    models = [];
    expect((await client.resident(signal)).value).toEqual([]);
  });

  it('sees the configured host name and its token, though the address was settled before', async () => {
    const node = await scriptedNode(json({ models: [] }));
    cleanups.push(() => node.close());
    const url = { scheme: 'http', host: 'gpu1.example', port: node.port } as const;
    await clientFor(nodeSpec(node.port, { url, token: 'sesame' })).resident(signal);
    expect(node.requests[0]?.headers).toMatchObject({
      host: `gpu1.example:${node.port}`,
      authorization: 'Bearer sesame',
      'accept-encoding': 'identity',
    });
  });

  it('is asked once more when the kept connection was closed in the meantime', async () => {
    let asked = 0;
    const { node, client } = await serving((request, response) => {
      asked += 1;
      if (asked === 2) request.socket.destroy();
      else json({ models: [] })(request, response);
    });
    await client.resident(signal);
    await client.resident(signal);
    expect(asked).toBe(3);
    expect(node.connections()).toBe(2);
  });
});

describe('a node that fails', () => {
  const ofType = (type: string, body: string | Buffer, status = 200): RequestListener => {
    return (_request, response) => {
      response.writeHead(status, { 'content-type': type });
      response.end(body);
    };
  };
  it.each<{ name: string; handler: RequestListener; want: { reason: string; detail: string } }>([
    {
      name: 'answers HTML with 200 (F63)',
      handler: ofType('text/html', '<html>sign in</html>'),
      want: { reason: 'bad_answer', detail: 'not JSON by its content type' },
    },
    {
      name: 'answers HTML under a JSON type',
      handler: ofType('application/json', '<html>'),
      want: { reason: 'bad_answer', detail: 'not JSON' },
    },
    {
      name: 'answers a type that only begins like JSON',
      handler: ofType('application/jsonp', '{}'),
      want: { reason: 'bad_answer', detail: 'not JSON by its content type' },
    },
    {
      name: 'announces a huge body',
      handler: (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(2 ** 40) });
        response.write('{');
      },
      want: { reason: 'bad_answer', detail: 'answer too large' },
    },
    {
      name: 'sends a huge body without announcing it',
      handler: ofType('application/json', Buffer.alloc(1024 * 1024, 0x20)),
      want: { reason: 'bad_answer', detail: 'answer too large' },
    },
    {
      name: 'nests a hundred thousand levels',
      handler: ofType('application/json', '['.repeat(60_000)),
      want: { reason: 'bad_answer', detail: 'nested too deeply' },
    },
    {
      name: 'compresses',
      handler: (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
        response.end('x');
      },
      want: { reason: 'bad_answer', detail: 'compressed without being asked' },
    },
    {
      name: 'refuses us',
      handler: ofType('text/plain', '', 403),
      want: { reason: 'bad_answer', detail: 'status 403: it wants a token, or refuses our Host' },
    },
    {
      name: 'does not know the path',
      handler: ofType('text/plain', '404 page not found', 404),
      want: { reason: 'bad_answer', detail: 'status 404' },
    },
    {
      name: 'is busy',
      handler: ofType('application/json', '{}', 503),
      want: { reason: 'busy', detail: 'status 503' },
    },
    {
      name: 'breaks',
      handler: ofType('application/json', '{}', 500),
      want: { reason: 'server_error', detail: 'status 500' },
    },
    {
      name: 'never answers',
      handler: () => {},
      want: { reason: 'timeout', detail: 'no whole answer in time' },
    },
    {
      name: 'drips',
      handler: (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        const drip = setInterval(() => response.write(' '), 20);
        response.on('close', () => clearInterval(drip));
      },
      want: { reason: 'timeout', detail: 'no whole answer in time' },
    },
    {
      name: 'closes before it answers',
      handler: (request) => request.socket.destroy(),
      want: { reason: 'reset', detail: 'connection closed' },
    },
    {
      name: 'closes within its answer',
      handler: (request, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
        response.write('{"models"', () => request.socket.destroy());
      },
      want: { reason: 'truncated', detail: 'connection closed within the answer' },
    },
  ])('$name', async ({ handler, want }) => {
    const { client } = await serving(handler);
    expect(await failure(client.resident(signal))).toEqual(want);
  });

  it('is not followed elsewhere', async () => {
    const target = await scriptedNode(json({ models: [alpha] }));
    cleanups.push(() => target.close());
    const { client } = await serving((_request, response) => {
      response.writeHead(302, {
        location: `http://127.0.0.1:${target.port}/api/ps`,
        'content-type': 'application/json',
      });
      response.end('{"models":[]}');
    });
    expect(await failure(client.resident(signal))).toEqual({ reason: 'bad_answer', detail: 'status 302' });
    expect(target.requests).toEqual([]);
  });

  it('speaks no HTTP', async () => {
    const node = await rawNode((socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n'));
    cleanups.push(() => node.close());
    const client = clientFor(nodeSpec(node.port));
    expect(await failure(client.resident(signal))).toEqual({
      reason: 'bad_answer',
      detail: 'malformed HTTP',
    });
  });

  it('sends headers without end', async () => {
    const node = await rawNode((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}`);
      socket.on('error', () => {});
    });
    cleanups.push(() => node.close());
    const client = clientFor(nodeSpec(node.port));
    expect(await failure(client.resident(signal))).toEqual({
      reason: 'bad_answer',
      detail: 'headers too large',
    });
  });

  it('is not there', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    await new Promise((resolve) => taken.close(resolve));
    expect(await failure(clientFor(nodeSpec(port)).resident(signal))).toEqual({
      reason: 'refused',
      detail: 'connection refused',
    });
  });

  it('recovers: the same client serves again', async () => {
    let isBroken = true;
    const { client } = await serving((request, response) => {
      if (isBroken) request.socket.destroy();
      else json({ models: [alpha] })(request, response);
    });
    expect((await failure(client.resident(signal))).reason).toBe('reset');
    isBroken = false;
    expect((await client.resident(signal)).value).toHaveLength(1);
  });

  it('costs nothing more once the caller gives up', async () => {
    const { client } = await serving(() => {});
    const stop = new AbortController();
    const asked = failure(client.resident(stop.signal));
    stop.abort();
    expect(await asked).toEqual({ reason: 'timeout', detail: 'given up' });
    expect(await failure(client.resident(stop.signal))).toEqual({ reason: 'timeout', detail: 'given up' });
  });
});

describe('a node with TLS', () => {
  const certificate = () => {
    const dir = tempDir();
    cleanups.push(() => dir.remove());
    const [key, cert] = [join(dir.path, 'key.pem'), join(dir.path, 'cert.pem')];
    writeCertificate({ key, cert }, { name: 'gpu1.example', altName: 'DNS:gpu1.example' });
    return { path: cert, tls: { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') } };
  };
  const spec = (port: number, host: string, tlsCaFile: string | undefined) =>
    nodeSpec(port, { url: { scheme: 'https', host, port }, tlsCaFile });

  it('is trusted by its own CA and under its own name only', async () => {
    const { path, tls } = certificate();
    const node = await scriptedNode(json({ models: [alpha] }), { tls });
    cleanups.push(() => node.close());
    const { port } = node;
    expect((await clientFor(spec(port, 'gpu1.example', path)).resident(signal)).value).toHaveLength(1);
    expect((await failure(clientFor(spec(port, 'gpu2.example', path)).resident(signal))).reason).toBe('tls');
    expect((await failure(clientFor(spec(port, 'gpu1.example', undefined)).resident(signal))).reason).toBe(
      'tls',
    );
    expect(await failure(clientFor(spec(port, 'gpu1.example', '/nowhere.pem')).resident(signal))).toEqual({
      reason: 'tls',
      detail: 'the CA file cannot be read',
    });
  });

  it('that speaks plain HTTP is told apart from one that is down', async () => {
    const node = await scriptedNode(json({ models: [] }));
    cleanups.push(() => node.close());
    expect(
      (await failure(clientFor(spec(node.port, 'gpu1.example', undefined)).resident(signal))).reason,
    ).toBe('tls');
  });
});
