import type { RequestListener } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import type { Listener } from '../../../src/app/destination.ts';
import { SystemClock } from '../../../src/app/system-clock.ts';
import { probeNode } from '../../../src/nodes/probe.ts';
import { type ScriptedNode, scriptedNode } from '../nodes/scripted-node.ts';
import { url } from './registry-bench.ts';

const open: ScriptedNode[] = [];
afterEach(async () => {
  for (const node of open.splice(0)) await node.close();
});

async function node(handler: RequestListener): Promise<ScriptedNode> {
  const made = await scriptedNode(handler);
  open.push(made);
  return made;
}

const json =
  (body: string): RequestListener =>
  (_, response) =>
    void response.setHeader('content-type', 'application/json').end(body);
const ollama: RequestListener = (request, response) => {
  if (request.url === '/api/version') json('{"version":"0.24.0"}')(request, response);
  else if (request.url === '/api/tags') json('{"models":[]}')(request, response);
  else response.writeHead(404, { 'content-type': 'text/plain' }).end('404 page not found');
};

interface World {
  readonly allowLoopback?: boolean;
  readonly listeners?: readonly Listener[];
  readonly lookup?: (host: string) => Promise<readonly string[]>;
  readonly token?: string;
}

function probe(place: string, { allowLoopback = true, listeners = [], lookup, token }: World = {}) {
  return probeNode(
    { url: url(place), ...(token === undefined ? {} : { settings: { token } }) },
    { allowLoopback },
    {
      clock: new SystemClock(),
      timeoutMs: 1_000,
      connectTimeoutMs: 500,
      lookup: lookup ?? (async () => ['127.0.0.1']),
      listeners: () => listeners,
      localIps: () => ['192.0.2.7'],
    },
    new AbortController().signal,
  );
}

describe('a candidate', () => {
  it('is a node where it answers as Ollama, at the addresses that it was reached at', async () => {
    const { port, requests } = await node(ollama);
    expect(await probe(`gpu1.lan:${port}`)).toEqual({ ips: ['127.0.0.1'] });
    expect(requests.map(({ url: path }) => path)).toEqual(['/api/warmpath', '/api/version', '/api/tags']);
  });

  it('is asked with its token, but only for what Ollama has', async () => {
    const { port, requests } = await node(ollama);
    await probe(`127.0.0.1:${port}`, { token: 'secret' });
    expect(requests.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      'Bearer secret',
      'Bearer secret',
    ]);
  });

  it.each<{ name: string; handler: RequestListener; says: RegExp }>([
    { name: 'a website', handler: (_, r) => void r.end('<html>'), says: /not JSON by its content type/ },
    { name: 'another API', handler: json('{"hello":1}'), says: /no version in it/ },
    { name: 'a server that is broken', handler: (_, r) => void r.writeHead(500).end(), says: /status 500/ },
    { name: 'something silent', handler: () => {}, says: /no answer in time/ },
    { name: 'an answer without end', handler: endless, says: /answer too large|no whole answer in time/ },
  ])('is none where it is $name', async ({ handler, says }) => {
    const { port } = await node(handler);
    expect(await probe(`127.0.0.1:${port}`)).toEqual({ problem: expect.stringMatching(says) });
  });

  it('is none where nobody listens or its name is unknown', async () => {
    const { port, close } = await scriptedNode(ollama);
    await close();
    expect(await probe(`127.0.0.1:${port}`)).toEqual({
      problem: expect.stringMatching(/connection refused/),
    });
    const lookup = () => Promise.reject(Object.assign(new Error('x'), { code: 'ENOTFOUND' }));
    expect(await probe('gone.lan:11434', { lookup })).toEqual({
      problem: expect.stringMatching(/gone.lan cannot be resolved: name not found/),
    });
  });

  it('is not followed elsewhere by a redirect (S18)', async () => {
    const target = await node(ollama);
    const { port } = await node((_, response) => {
      response.writeHead(302, { location: `http://127.0.0.1:${target.port}/api/tags` }).end();
    });
    expect(await probe(`127.0.0.1:${port}`)).toEqual({ problem: expect.stringMatching(/status 302/) });
    expect(target.requests).toEqual([]);
  });

  it('never has its own words repeated to anybody (S18)', async () => {
    const { port } = await node((_, response) => {
      response
        .writeHead(418, 'SECRET-REASON', { 'content-type': 'application/json' })
        .end('{"error":"SECRET-BODY"}');
    });
    expect(JSON.stringify(await probe(`127.0.0.1:${port}`))).not.toContain('SECRET');
  });
});

describe('an address that may not be named (S18)', () => {
  it.each([
    { name: 'loopback, where the source may not name it', ips: ['127.0.0.1'], says: /loopback/ },
    { name: 'loopback in IPv6 clothes', ips: ['::ffff:127.0.0.1'], says: /loopback/ },
    { name: 'cloud metadata', ips: ['169.254.169.254'], says: /metadata/ },
    { name: 'cloud metadata among good ones', ips: ['10.0.0.1', 'fd00:ec2::254'], says: /metadata/ },
    { name: 'no machine', ips: ['0.0.0.0'], says: /unspecified/ },
    { name: 'multicast', ips: ['224.0.0.251'], says: /multicast/ },
    { name: 'nothing', ips: [], says: /no address/ },
  ])('is refused after resolution: $name', async ({ ips, says }) => {
    const { port, connections } = await node(ollama);
    const answer = await probe(`innocent.example:${port}`, { allowLoopback: false, lookup: async () => ips });
    expect(answer).toEqual({ problem: expect.stringMatching(says) });
    expect(connections()).toBe(0);
  });
});

describe('the loop guard (H15)', () => {
  it.each([
    { name: 'on all interfaces, by loopback', host: '0.0.0.0', ip: '127.0.0.1' },
    { name: 'on all interfaces, by another loopback address', host: '0.0.0.0', ip: '127.9.9.9' },
    { name: 'on all interfaces, by the address of an interface', host: '0.0.0.0', ip: '192.0.2.7' },
    { name: 'on IPv6, by a mapped address', host: '::', ip: '::ffff:192.0.2.7' },
    { name: 'on one address', host: '192.0.2.7', ip: '192.0.2.7' },
  ])('refuses our own listener $name', async ({ host, ip }) => {
    const answer = await probe('node.lan:11434', {
      lookup: async () => [ip],
      listeners: [{ host, port: 11_434 }],
    });
    expect(answer).toEqual({ problem: expect.stringMatching(/is Warmpath itself.*circle/) });
  });

  it('refuses another Warmpath, which answers as Ollama in all else', async () => {
    const { port } = await node((request, response) => {
      if (request.url?.startsWith('/api/version') || request.url?.startsWith('/api/tags')) {
        ollama(request, response);
        return;
      }
      response
        .writeHead(403, { 'x-warmpath-error': 'not_allowed' })
        .end('{"error":"this path is not allowed here"}');
    });
    expect(await probe(`127.0.0.1:${port}`)).toEqual({
      problem: expect.stringMatching(/is a Warmpath, not an Ollama/),
    });
  });

  it('refuses what has seen our requests go round', async () => {
    const { port } = await node((_, response) => void response.writeHead(508).end());
    expect(await probe(`127.0.0.1:${port}`)).toEqual({ problem: expect.stringMatching(/is a Warmpath/) });
  });
});

function endless(...[, response]: Parameters<RequestListener>): void {
  response.setHeader('content-type', 'application/json');
  const more = (): void => {
    while (!response.destroyed && response.write(Buffer.alloc(64 * 1024, ' ')));
  };
  response.on('drain', more).on('error', () => {});
  more();
}
