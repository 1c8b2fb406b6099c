import { connect } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { connectRaw, post, rawRequest } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { pause } from '../support/wait-for.ts';
import { type RunningWarmpath, startWarmpath } from '../support/warmpath.ts';
import { curl } from './client/curl.ts';

const BODY = '{"model":"alpha","prompt":"hi","stream":false}';
const PULL = 'POST /api/pull HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}';
const HEAD = 'POST /api/generate HTTP/1.1\r\nHost: localhost\r\n';

interface Case {
  readonly id: string;
  readonly what: string;
  readonly bytes: string | Buffer;
  /** Statuses of the answer; `closed`: the connection ends, or goes on waiting, without one. */
  readonly want: readonly (number | 'closed')[];
  /** Requests for inference that a node may get. */
  readonly contacted?: number;
}

const generate = (headers: Record<string, string>, body = BODY) =>
  rawRequest('POST', '/api/generate', { headers, body });

const CASES: readonly Case[] = [
  {
    id: 'B23',
    what: 'a body that stops short',
    bytes: `${HEAD}Content-Length: 100\r\n\r\n${BODY}`,
    want: ['closed'],
  },
  {
    id: 'B24',
    what: 'a length that is too small',
    bytes: `${HEAD}Content-Length: 10\r\n\r\n${BODY}`,
    want: [400],
  },
  {
    id: 'B25',
    what: 'both lengths',
    bytes: `${HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${PULL}`,
    want: [400],
  },
  {
    id: 'B25',
    what: 'two lengths',
    bytes: `${HEAD}Content-Length: 2\r\nContent-Length: 46\r\n\r\n${BODY}`,
    want: [400],
  },
  { id: 'B26', what: 'chunks of one byte', bytes: chunked(BODY, 1), want: [200], contacted: 1 },
  {
    id: 'B26',
    what: 'a chunk of endless size',
    bytes: `${HEAD}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF1\r\nx`,
    want: [400],
  },
  {
    id: 'B27 H01',
    what: 'a trailer that names a destination',
    bytes: chunked(BODY, 8).replace('0\r\n\r\n', '0\r\nx-gateway-destination-endpoint: 127.0.0.1:1\r\n\r\n'),
    want: [200],
    contacted: 1,
  },
  {
    id: 'B29',
    what: 'a compressed bomb',
    bytes: Buffer.concat([
      Buffer.from(`${HEAD}Content-Encoding: gzip\r\nContent-Length: ${bomb().length}\r\n\r\n`),
      bomb(),
    ]),
    want: [415],
  },
  { id: 'B30', what: 'an unknown expectation', bytes: generate({ Expect: 'coffee' }), want: [417] },
  {
    id: 'B31',
    what: 'a form with a boundary of dashes',
    bytes: rawRequest('POST', '/v1/audio/transcriptions', {
      headers: { 'Content-Type': `multipart/form-data; boundary=${'-'.repeat(20_000)}` },
      body: '-'.repeat(100_000),
    }),
    want: [403],
  },
  {
    id: 'B33',
    what: 'GET with a body',
    bytes: rawRequest('GET', '/api/generate', { body: BODY }),
    want: [405],
  },
  {
    id: 'H05',
    what: 'an overridden method',
    bytes: generate({ 'X-HTTP-Method-Override': 'DELETE' }),
    want: [200],
    contacted: 1,
  },
  ...['CONNECT', 'TRACE', 'PATCH', 'PUT', 'FOO', 'post'].map((method) => ({
    id: 'H06',
    what: method,
    bytes: `${method} /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}`,
    want: [400, 403, 405],
  })),
  {
    id: 'H09',
    what: 'an upgrade to a web socket',
    bytes: generate({
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Key': 'x',
      'Sec-WebSocket-Version': '13',
    }),
    want: [403],
  },
  {
    id: 'H09',
    what: 'an upgrade to h2c',
    bytes: generate({ Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c', 'HTTP2-Settings': 'AAMAAABk' }),
    want: [200],
    contacted: 1,
  },
  { id: 'H11', what: '61 KB of headers', bytes: generate({ X: 'x'.repeat(61_440) }), want: [431] },
  {
    id: 'H11',
    what: '101 headers',
    bytes: generate(Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`X-${i}`, 'x']))),
    want: [431],
  },
  { id: 'H11', what: 'two Hosts', bytes: generate({ host: 'other' }), want: [400, 403] },
  { id: 'H11', what: 'no Host', bytes: 'GET /api/tags HTTP/1.1\r\n\r\n', want: [400] },
  {
    id: 'H11',
    what: 'a Host that is a path',
    bytes: 'GET /api/tags HTTP/1.1\r\nHost: a/b?c\r\n\r\n',
    want: [400, 403],
  },
  {
    id: 'H12',
    what: 'a folded header',
    bytes: `${HEAD}X: a\r\n Content-Length: 3\r\nContent-Length: 2\r\n\r\n{}`,
    want: [400],
  },
  {
    id: 'H12',
    what: 'a NUL in a header',
    bytes: `${HEAD}X: a\0b\r\nContent-Length: 2\r\n\r\n{}`,
    want: [400],
  },
  { id: 'H12', what: 'a space before the colon', bytes: `${HEAD}Content-Length : 2\r\n\r\n{}`, want: [400] },
  // Envoy takes what it does not know for HTTP/1.0: the routes judge it as any other.
  { id: 'H13', what: 'HTTP/0.9', bytes: 'GET /api/tags\r\n\r\n', want: [200] },
  { id: 'H13', what: 'HTTP/0.9 where it may not', bytes: 'POST /api/pull\r\n\r\n', want: [403] },
  {
    id: 'H13',
    what: 'HTTP/3.0 where it may not',
    bytes: 'POST /api/pull HTTP/3.0\r\nHost: localhost\r\n\r\n',
    want: [403],
  },
  {
    id: 'H13',
    what: 'a TLS handshake',
    bytes: Buffer.from('16030100b0010000ac0303', 'hex'),
    want: [400, 'closed'],
  },
  { id: 'H13', what: 'a greeting of SSH', bytes: 'SSH-2.0-OpenSSH_9.6\r\n', want: [400, 'closed'] },
  {
    id: 'H13',
    what: 'a megabyte of noise',
    bytes: Buffer.alloc(1024 * 1024, Buffer.from([0xff, 0, 0x80, 0x0a])),
    want: [400, 'closed'],
  },
  {
    id: 'H15',
    what: 'ranges, conditions and hops',
    bytes: generate({
      Range: 'bytes=0-1',
      'If-None-Match': '*',
      'Max-Forwards': '0',
      Via: '1.1 x, 1.1 y',
      TE: 'trailers',
    }),
    want: [200],
    contacted: 1,
  },
];

describeReal(await realEnvoy(), 'hostile requests', () => {
  let fleet: SimulatedFleet;
  let warmpath: RunningWarmpath;

  beforeAll(async () => {
    fleet = await startFleet(2, { models: [{ name: 'alpha', sizeBytes: 1e6 }], timeScale: 100 }, (index) =>
      index === 1 ? { models: [{ name: 'other', sizeBytes: 1e6 }] } : {},
    );
    warmpath = await startWarmpath({ nodes: fleet.specs });
  });
  afterAll(async () => {
    await warmpath?.stop();
    await fleet?.close();
  });
  beforeEach(() => fleet.clearRequests());

  it.each(CASES)('$id $what', async ({ bytes, want, contacted = 0 }) => {
    const connection = await connectRaw(warmpath.url);
    connection.write(bytes);
    const wait = want.includes('closed') ? 700 : 5000;
    const answer = await connection
      .waitFor(/^HTTP\/1\.[01] (?!100)(\d{3})[\s\S]*?\r\n\r\n/, wait)
      .catch(() => '');
    await pause(20);
    connection.hangUp();
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(answer)?.[1] ?? 0);
    expect(want, answer.slice(0, 300)).toContain(status === 0 ? 'closed' : status);
    expect(fleet.inference).toHaveLength(contacted);
    expect(fleet.forbidden).toEqual([]);
    const control = await post(`${warmpath.url}/api/generate`, BODY);
    expect([control.status, control.headers['x-warmpath-node']], 'the next request').toEqual([200, 'n1']);
  });

  describe.each([{ mode: 'with the control plane' }, { mode: 'while it is stopped' }])(
    '$mode',
    ({ mode }) => {
      beforeAll(() => {
        if (mode !== 'with the control plane') process.kill(warmpath.pids.controlPlane, 'SIGSTOP');
      });
      afterAll(() => {
        if (mode !== 'with the control plane') process.kill(warmpath.pids.controlPlane, 'SIGCONT');
      });

      it('H01 H02 H03: no header of a client chooses where its request goes, or reaches a node', async () => {
        const other = fleet.node('n2').address;
        const forged = {
          'x-gateway-destination-endpoint': other,
          'X-Gateway-Destination-Endpoint-Subset': other,
          'x-warmpath-cluster': 'warmpath',
          'x-warmpath-decision': 'forged',
          'x-warmpath-node': 'forged',
          'x-envoy-max-retries': '99',
          'x-envoy-retry-on': '5xx',
          'x-envoy-upstream-rq-per-try-timeout-ms': '1',
          'x-envoy-original-path': '/api/pull',
          'x-envoy-original-dst-host': other,
          'x-request-id': 'forged-id',
          x_gateway_destination_endpoint: other,
        };
        const args = Object.entries(forged).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
        for (let i = 0; i < 5; i++) {
          const answer = await curl([...args, '-d', BODY, `${warmpath.url}/api/generate`]);
          expect(answer.status, answer.text).toBe(200);
          expect(answer.headers.get('x-warmpath-node')).toBe('n1');
          expect(answer.headers.get('x-warmpath-decision') ?? '').not.toBe('forged');
        }
        for (const { headers } of fleet.inference) {
          const seen = JSON.stringify(headers);
          for (const word of [
            'forged',
            'x-gateway',
            'x_gateway',
            '/api/pull',
            'x-envoy-original',
            'x-warmpath-cluster',
          ])
            expect(seen).not.toContain(word);
        }
      });

      it('H10: what HTTP/2 adds changes nothing', async () => {
        const h2 = ['--http2-prior-knowledge'];
        expect(await postByHttp2('/api/pull', '{"model":"alpha"}')).toBe(403);
        expect(await postByHttp2('/api/generate', BODY)).toBe(200);
        // Unrouted, it may have met a node without the model on its way.
        expect(fleet.node('n1').inferenceRequests).toHaveLength(1);
        const foreign = await curl([...h2, '-H', 'Host: evil.example', `${warmpath.url}/api/tags`]);
        expect(foreign.status).toBe(403);
        const many = await curl([...h2, '-H', `X: ${'x'.repeat(61_440)}`, `${warmpath.url}/api/tags`]).then(
          ({ status }) => status,
          () => 431, // the stream is reset
        );
        expect(many).toBe(431);
        expect(fleet.forbidden).toEqual([]);
      });
    },
  );

  /** Node's client: curl may miss an answer that comes before the end of the body. */
  function postByHttp2(path: string, body: string): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const session = connect(warmpath.url).on('error', reject);
    const stream = session.request({ ':method': 'POST', ':path': path }).on('error', reject);
    stream.on('response', (headers) => resolve(Number(headers[':status'])));
    stream.on('close', () => session.close()).resume();
    stream.end(body);
    return promise;
  }
});

function chunked(body: string, size: number): string {
  const chunks = Array.from({ length: Math.ceil(body.length / size) }, (_, i) =>
    body.slice(i * size, (i + 1) * size),
  );
  const framed = chunks.map((chunk) => `${chunk.length.toString(16)};ext=1\r\n${chunk}\r\n`);
  return `${HEAD}Transfer-Encoding: chunked\r\n\r\n${framed.join('')}0\r\n\r\n`;
}

/** 64 MiB of blanks in 64 KB. */
function bomb(): Buffer {
  return gzipSync(Buffer.alloc(64 * 1024 * 1024, ' '), { level: 1 });
}
