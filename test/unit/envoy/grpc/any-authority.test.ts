import { once } from 'node:events';
import { connect, createServer, type Http2Server, type IncomingHttpHeaders } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callerOf, takeAnyAuthority } from '../../../../src/envoy/grpc/authority/any-authority.ts';
import { ClientFrames } from '../../../../src/envoy/grpc/authority/frames.ts';
import { mendAuthority } from '../../../../src/envoy/grpc/authority/header-block.ts';

const ISTIO = 'outbound|9002||warmpath.warmpath.svc.cluster.local';
/** All that an authority may have, and the two that are mended. */
const CHARACTERS = [..."ABCXYZabcxyz0189-._~!$&'()*+,;=:[]|/"];

describe('an HTTP/2 server that takes any authority', () => {
  let server: Http2Server;
  let addresses: (string | undefined)[];
  let isNative: boolean[];
  beforeAll(async () => {
    server = createServer();
    takeAnyAuthority(server);
    addresses = [];
    isNative = [];
    server.on('session', (session) => {
      addresses.push(callerOf(session).remoteAddress);
      isNative.push(session.socket.remoteAddress !== undefined);
    });
    server.on('stream', (stream, headers) => {
      stream.respond({ ':status': 200, 'x-seen': JSON.stringify(headers) });
      stream.pipe(stream);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterAll(() => server.close());

  /** What the server saw, and how much came back, for requests on one connection. */
  async function seen(
    requests: readonly IncomingHttpHeaders[],
    body = Buffer.alloc(0),
  ): Promise<IncomingHttpHeaders[]> {
    const client = connect(`http://127.0.0.1:${portOf(server)}`);
    try {
      return await Promise.all(
        requests.map(async (headers) => {
          const stream = client.request({ ':method': 'POST', ':path': '/a|b', ...headers });
          const answered = once(stream, 'response');
          stream.end(body);
          const [response] = (await answered) as [IncomingHttpHeaders];
          let bytes = 0;
          for await (const piece of stream) bytes += (piece as Buffer).length;
          expect(bytes).toBe(body.length);
          return JSON.parse(String(response['x-seen'])) as IncomingHttpHeaders;
        }),
      );
    } finally {
      client.close();
    }
  }

  it("takes the name of Istio's cluster, on the first request and on all that follow", async () => {
    const requests = Array.from({ length: 20 }, () => ({ ':authority': ISTIO }));
    for (const headers of await seen(requests, Buffer.alloc(300_000)))
      expect(headers[':authority']).toBe('outbound+9002++warmpath.warmpath.svc.cluster.local');
  });

  it('changes nothing else', async () => {
    const [headers] = await seen([{ ':authority': 'a/b|c', 'x-other': 'a/b|c' }]);
    expect(headers).toMatchObject({ ':authority': 'a-b+c', 'x-other': 'a/b|c', ':path': '/a|b' });
  });

  it('reads header blocks of several frames', async () => {
    const [headers] = await seen([{ ':authority': ISTIO, 'x-long': '|'.repeat(40_000) }]);
    expect(headers).toMatchObject({ ':authority': ISTIO.replaceAll('|', '+'), 'x-long': '|'.repeat(40_000) });
  });

  it('knows who is at the other end', async () => {
    for (const authority of [ISTIO, 'plain:1']) {
      await seen([{ ':authority': authority }]);
      expect(addresses.at(-1)).toBe('127.0.0.1');
    }
  });

  it('leaves connections alone that need nothing of it', async () => {
    await seen([{ ':authority': 'plain:1' }]);
    expect(isNative.at(-1)).toBe(true);
    await seen([{ ':authority': ISTIO }]);
    expect(isNative.at(-1)).toBe(false);
  });

  it('waits for nobody who is late with the first request', async () => {
    const client = connect(`http://127.0.0.1:${portOf(server)}`);
    // Its greeting has come, and no request with it.
    await once(client, 'remoteSettings');
    const stream = client.request({ ':authority': ISTIO });
    const [response] = (await once(stream, 'response')) as [IncomingHttpHeaders];
    expect(response[':status']).toBe(200);
    client.close();
  });

  it('takes each authority that is built of these characters', async () => {
    const text = fc.array(fc.constantFrom(...CHARACTERS), { minLength: 1, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 5 }), async (texts) => {
        const names = texts.map((characters) => characters.join(''));
        const all = await seen(names.map((name) => ({ ':authority': name })));
        expect(all.map((headers) => headers[':authority'])).toEqual(
          names.map((name) => name.replaceAll('|', '+').replaceAll('/', '-')),
        );
      }),
      { numRuns: 40 },
    );
  });
});

describe('the bytes of a client', () => {
  let sent: Buffer;
  beforeAll(async () => {
    sent = await bytesOfClient();
  });

  /** What goes on when they come in pieces that end at `cuts`. */
  const passed = (cuts: readonly number[]): Buffer => {
    const frames = new ClientFrames();
    const ends = [...new Set([...cuts.map((cut) => cut % sent.length), sent.length])].sort((a, b) => a - b);
    let at = 0;
    return Buffer.concat(
      ends.map((end) => {
        const piece = Buffer.from(sent.subarray(at, end));
        at = end;
        return Buffer.from(frames.take(piece));
      }),
    );
  };

  it('are as many as before, and mended alike, wherever they are cut', () => {
    const whole = passed([]);
    expect(whole).toHaveLength(sent.length);
    expect(whole.equals(sent)).toBe(false);
    const cuts = fc.array(fc.nat(), { maxLength: 30 });
    fc.assert(fc.property(cuts, (places) => passed(places).equals(whole)));
  });

  it('pass as they are where they are no HTTP/2', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (pieces) => {
        const frames = new ClientFrames();
        const out = pieces.map((piece) => Buffer.from(frames.take(Buffer.from(piece))));
        // Nothing is made up; at most a frame that is not whole is still held.
        expect(Buffer.concat(out).length).toBeLessThanOrEqual(Buffer.concat(pieces).length);
      }),
    );
  });

  it('are never held without a bound', () => {
    const frames = new ClientFrames();
    frames.take(Buffer.alloc(24));
    const endless = Buffer.from([0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 1]);
    frames.take(endless);
    let passedOn = 0;
    for (let i = 0; i < 10; i++) passedOn += frames.take(Buffer.alloc(16_384)).length;
    expect(passedOn).toBeGreaterThan(9 * 16_384 - 1);
  });
});

describe('a header block', () => {
  it('of any bytes is read to its end or given up', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const before = bytes.length;
        mendAuthority(bytes);
        expect(bytes).toHaveLength(before);
      }),
    );
  });

  it('keeps an authority that is not coded as short as it is', () => {
    const block = Buffer.concat([Buffer.from([0x41, 5]), Buffer.from('a|b/c')]);
    mendAuthority(block);
    expect(block.subarray(2).toString()).toBe('a+b-c');
  });
});

/** What Node's client sends for a few requests, to a server that never answers. */
async function bytesOfClient(): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const all = Promise.withResolvers<void>();
  const server = createTcpServer((socket) =>
    socket.on('data', (piece) => {
      pieces.push(piece);
      if (Buffer.concat(pieces).length > 9_000) all.resolve();
    }),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect(`http://127.0.0.1:${portOf(server)}`);
  client.on('error', () => undefined);
  for (const authority of [ISTIO, 'a/b', 'plain:1']) {
    const stream = client.request({ ':method': 'POST', ':path': '/', ':authority': authority });
    stream.on('error', () => undefined);
    stream.write(Buffer.alloc(3_000));
  }
  await all.promise;
  client.destroy();
  server.close();
  return Buffer.concat(pieces);
}

function portOf(server: { address(): AddressInfo | string | null }): number {
  return (server.address() as AddressInfo).port; // a TCP server's address is an object
}
